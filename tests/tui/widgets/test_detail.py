"""The detail pane's tabs: now, messages, scratchpad, log, diff, and what followed a handoff."""

from collections.abc import Iterable

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.conversation import Message, StopReason, Text
from engine.domain.environment import Environment
from engine.domain.types import AgentId, AgentState, CallId, ModelName, TaskId, ToolCallState, Usage
from engine.journal.rows import CallRow, Followed, MessageRow, TaskRow, ToolCallRow
from tests.tui.apps import app_on, main_of, painted, press, settle
from tests.tui.fake_session import START, FakeSession
from tests.tui.swarms import run_counts, small, task
from tui.bridge import Event
from tui.format.limits import active_limits
from tui.format.text import Line
from tui.format.view import View
from tui.sessions.live_agent import LiveAgentTracker
from tui.sessions.session import LiveAgent
from tui.widgets.agent_details import now_lines, task_lines
from tui.widgets.detail import PAGE, Tab
from tui.widgets.transcript import MessagesView

WORKER = "root/blocks/w-4"


def select(pilot, session: FakeSession, tab: Tab, path: str = WORKER) -> AgentId:  # type: ignore[no-untyped-def]
    main = main_of(pilot.app)
    agent = session.agent(path).id
    main.panes.agents.select(agent)
    main.panes.detail.open(tab)
    return agent


def said(number: int, text: str) -> MessageRow:
    return MessageRow(number, number, START + number, AgentId("a"), "user", "system", text, len(text), True)


def event(body: e.Body) -> Event:
    return Event(1, START, 1, body, AgentId("a"))


def turn(text: str) -> e.TurnTaken:
    message = Message("assistant", (Text(text),))
    return e.TurnTaken(ModelName("m:m"), None, (), message, StopReason.TOOLS, Usage(), "worker@1", 1.0)


def test_a_tracker_keeps_speech_and_output_apart() -> None:
    tracker = LiveAgentTracker(AgentId("a"))
    tracker.add_text("I lo")
    tracker.add_text("ok.")
    assert tracker.live == LiveAgent(said="I look.", saying=True)
    tracker.apply(event(turn("I look.")))
    tracker.apply(event(e.ToolStarted(CallId("c"), "shell", "{}", True, "make")))
    tracker.add_text("cc a.c\n")
    tracker.add_text("cc b.c\n")
    assert tracker.live == LiveAgent("I look.", False, "shell make", "cc a.c\ncc b.c\n", True, START)
    tracker.apply(event(e.ToolFinished(CallId("c"), "shell", ToolCallState.OK, "exit 0")))
    assert not tracker.live.running
    assert tracker.live.output == "exit 0"
    tracker.add_text("Next")
    assert tracker.live.said == "Next"
    assert tracker.live.call == "shell make"


def test_a_tracker_fills_in_the_past_but_keeps_what_is_newer() -> None:
    spoken = MessageRow(1, 1, START, AgentId("a"), "assistant", "model", "earlier", 7, True)
    ran = ToolCallRow("shell", "ls", "README", START, START)
    tracker = LiveAgentTracker(AgentId("a"))
    tracker.fill_in([spoken, said(2, "told")], ran)
    assert tracker.live == LiveAgent("earlier", False, "shell ls", "README", False, START)
    tracker.add_text("newer")
    tracker.fill_in([spoken], None)
    assert tracker.live.said == "newer"


async def test_the_now_tab_shows_the_running_tool_call_its_output_and_the_message() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        agent = select(pilot, session, Tab.NOW)
        await press(pilot, "2")
        text = painted(pilot.app)
        for part in (
            "running for",
            "▶ shell pytest -q tests/test_blocks.py",
            "[ 41%]",
            "The fence regex misses tildes",
        ):
            assert part in text
        session.live[agent] = LiveAgent("I see it now", True, "shell pytest", "exit 1", False, START)
        await settle(pilot)
        text = painted(pilot.app)
        assert text.index("finished") < text.index("Message, still arriving")
        session.live[agent] = LiveAgent("I wait for it", False, "wait", "woken", False, START)
        await settle(pilot)
        text = painted(pilot.app)
        assert "I wait for it" in text
        assert "woken" not in text


def test_the_root_planners_task_tab_shows_what_commands_find() -> None:
    session = small()
    session.record(e.EnvironmentSurveyed(Environment("", missing=("mypy",), limits=("10m a command",))))
    run = session.run
    lines = task_lines(View(run), run, session.agent("root"), START, 80)
    text = "\n".join("".join(span.text for span in line) for line in lines)
    assert "Environment of commands" in text
    assert "named in the project or the intent, but not installed: mypy" in text


def test_held_tasks_their_order_and_a_persons_words_are_on_screen() -> None:
    session = small()
    root, worker = session.agent("root"), session.agent(WORKER)
    first, then = task(session, root.id, "the parser"), task(session, root.id, "the printer")
    spec = replace(session.run.tasks[then].spec, after=(first,))
    session.record(e.TaskAmended(spec, ("after",)), task=then)

    def shown(lines: Iterable[Line]) -> str:
        return "\n".join("".join(span.text for span in line) for line in lines)

    def plan() -> str:
        return shown(now_lines(View(session.run), session.run, session.agent("root"), LiveAgent(), START, 80))

    assert "queued    the printer  after the parser" in plan()
    session.record(e.TaskEnded("cancelled", "not wanted"), task=first)
    session.record(e.TaskHeld(first), task=then)
    assert "held      the printer  after the parser" in plan()
    limits = {limit.name: limit.text for limit in active_limits(session.run, run_counts(session.run))}
    assert limits["held"] == "1 task after a task that did not land: the planner decides"
    session.record(e.TaskDirected("keep the old name"), agent=worker.id, task=worker.task)
    text = shown(task_lines(View(session.run), session.run, worker, START, 80))
    assert text.index("Told by a person") < text.index("keep the old name")


async def test_tool_results_are_folded_and_unfold_to_the_whole_text() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        agent = session.agent(WORKER).id
        call = CallRow("c1", "shell", '{"command": "make"}')
        session.said[agent] = [
            MessageRow(1, 1, START, agent, "assistant", "model", "I build.", 8, True, state="tools", calls=(call,)),
            MessageRow(2, 2, START, agent, "tool", "tool", "first\nsecond", 9000, False, "shell", CallId("c1"), "ok"),
        ]
        session.whole[2] = "first\nsecond\nthe last line"
        select(pilot, session, Tab.MESSAGES)
        await press(pilot, "2")
        text = painted(pilot.app)
        assert "▶ shell make" in text
        assert "▸ first  2+ lines" in text
        assert "second" not in text
        await press(pilot, "enter")
        text = painted(pilot.app)
        assert "second" in text
        assert "the last line" in text
        await press(pilot, "h")
        assert "second" not in painted(pilot.app)
        await press(pilot, "equals_sign")
        assert "second" in painted(pilot.app)
        await press(pilot, "minus")
        assert "second" not in painted(pilot.app)


async def test_older_messages_load_page_by_page_and_the_end_is_followed() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        agent = session.agent(WORKER).id
        session.said[agent] = [said(number, f"word {number}") for number in range(1, 151)]
        select(pilot, session, Tab.MESSAGES)
        await press(pilot, "2")
        view = main_of(pilot.app).panes.detail.body
        assert isinstance(view, MessagesView)
        assert [row.id for row in view.items] == list(range(151 - PAGE, 151))
        assert "word 150" in painted(pilot.app)
        await press(pilot, "g")
        assert len(view.items) == 2 * PAGE
        assert "word 91" in painted(pilot.app)  # the same lines are still in view
        await press(pilot, "g", "g")
        assert [row.id for row in view.items] == list(range(1, 151))
        await press(pilot, "g")
        assert "earlier ones" not in painted(pilot.app)
        session.said[agent].append(said(151, "the newest"))
        session.record(turn("x"), agent=agent)
        await settle(pilot)
        assert "the newest" not in painted(pilot.app)
        await press(pilot, "G")
        assert "the newest" in painted(pilot.app)
        session.said[agent].append(said(152, "newer still"))
        session.record(turn("y"), agent=agent)
        await settle(pilot)
        assert "newer still" in painted(pilot.app)


async def test_every_version_of_a_scratchpad_shows_with_its_changes() -> None:
    session = small()
    planner = session.agent("root/blocks").id
    session.record(e.ScratchpadRewritten(2, "# Where I am\n\nThe parser is done.\nTests come next."), agent=planner)
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        select(pilot, session, Tab.SCRATCHPAD, "root/blocks")
        await press(pilot, "2")
        assert "version 2 of 2" in painted(pilot.app)
        assert "The parser is done." in painted(pilot.app)
        await press(pilot, "enter")
        text = painted(pilot.app)
        assert "-The parser comes first, then its tests." in text
        assert "+Tests come next." in text
        await press(pilot, "h", "enter")
        assert "version 1 of 2" in painted(pilot.app)
        assert "The parser comes first" in painted(pilot.app)
        session.record(e.ScratchpadRewritten(3, "Something else."), agent=planner)
        await settle(pilot)
        assert "version 1 of 3" in painted(pilot.app)
        await press(pilot, "l", "l", "l")
        assert "Something else." in painted(pilot.app)


async def test_the_log_shows_the_agents_own_events_as_they_happen() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        agent = select(pilot, session, Tab.LOG)
        await press(pilot, "2")
        log = "\n".join(painted(pilot.app).split("\n")[2:18])
        assert "task started, attempt 1" in log
        session.record(e.SubtreePaused(), agent=agent)
        session.record(e.SubtreePaused(), agent=session.agent("root").id)
        await settle(pilot)
        view = main_of(pilot.app).panes.detail.body
        assert [line.agent for line in view.items] == [agent] * len(view.items)  # type: ignore[attr-defined]
        assert view.items[-1].text == "paused by a person"  # type: ignore[attr-defined]


async def test_a_diff_that_is_empty_says_why() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        select(pilot, session, Tab.DIFF, "root/blocks")
        await settle(pilot)
        assert "Planners do not edit files" in painted(pilot.app)
        agent = select(pilot, session, Tab.DIFF, WORKER)
        session.patches[agent] = ""
        main_of(pilot.app).panes.detail.reload_diff()
        await settle(pilot)
        assert "No changes in this agent's workspace yet" in painted(pilot.app)
        session.record(e.AgentStateChanged(AgentState.FAILED, reason="x"), agent=agent)
        await settle(pilot)
        assert "This agent landed no changes" in painted(pilot.app)


async def test_a_handoff_shows_the_planners_reply_and_the_new_tasks() -> None:
    session = small()
    handoff = next(h for h in reversed(session.run.handoffs.values()) if h.task is not None)
    call = CallRow("c", "spawn_tasks", '{"tasks": [1, 2]}')
    answer = MessageRow(9, 9, START, AgentId("p"), "assistant", "model", "Then tables.", 9, True, calls=(call,))
    task = TaskRow(TaskId("t"), "Tables align", "landed")
    session.led_to[handoff.id] = Followed(answer, (task,))
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter")
        for part in ("Planner's reply", "Then tables.", "spawn_tasks 2 tasks", "New tasks: 1", "Tables align"):
            assert part in painted(pilot.app)
        await press(pilot, "t")
        assert main_of(pilot.app).panes.detail.tab is Tab.TASK
        await press(pilot, "plus")
        assert "New tasks: 1" in painted(pilot.app)
        await press(pilot, "3", "j", "enter")
        assert "has not read it yet" in painted(pilot.app)

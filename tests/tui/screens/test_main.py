"""The main screen as a person uses it: tests press keys, then look at the screen and the commands that were sent."""

from concurrent.futures import Future

import msgspec
import pytest
from rich.cells import cell_len
from textual.events import Key, MouseScrollUp, Paste
from textual.widgets import Input

from engine.domain import events as e
from engine.domain.handoff_facts import Facts, SuiteRun
from engine.domain.resource_use import AgentUse, Sample
from engine.domain.settings import BudgetSettings, Settings
from engine.domain.types import AgentId, AgentState, Check, CommitId, HandoffId, ModelName, Role
from tests.tui.apps import app_on, main_of, painted, press, settle, shown_notes
from tests.tui.fake_session import FakeSession, done
from tests.tui.swarms import begin, land, small, spawn, swarm, task, work
from tui.bridge import Cancel, Pause, Rescope, Resolve, Resume, SetModel, SetPriority, SetWorkers, Steer, SubmitIntent
from tui.format.chart import TimeRange
from tui.format.event_line import EVENT_KINDS
from tui.format.text import width_of
from tui.screens.layout import Pane
from tui.sessions.launch import RunPlan
from tui.sessions.session import CloseMode
from tui.widgets.detail import Tab
from tui.widgets.header import Header
from tui.widgets.markdown import MOST, MarkdownEditor
from tui.widgets.resources import Resources
from tui.widgets.transcript import LogView


async def test_the_header_starts_with_what_a_person_needs_most() -> None:
    session = small()
    async with app_on(session).run_test(size=(140, 40)) as pilot:
        await settle(pilot)
        top = "\n".join(painted(pilot.app).split("\n")[:3])
        for word in (
            "mdconv",
            "REHEARSAL",
            "running",
            "working",
            "waiting",
            "failed",
            "landed",
            "/h",
            "failed checks",
            "green",
            "tok",
            "$",
        ):
            assert word in top
        assert "sandbox: namespaced" in top
        assert "2 need you" in top


async def test_a_small_terminal_shows_one_pane_and_a_large_one_all_panes() -> None:
    async with app_on(small()).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "3 handoffs" in painted(pilot.app).split("\n")[3]
        assert not main_of(pilot.app).query_one("#pane-events").display
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert all(main_of(pilot.app).query_one(f"#pane-{pane}").display for pane in Pane)
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        assert "too small" in painted(pilot.app)
        assert "mdconv" in painted(pilot.app)
        await pilot.resize_terminal(60, 15)
        await settle(pilot)
        await press(pilot, "j")
        assert main_of(pilot.app).panes.agents.cursor == 1


async def test_every_size_is_painted_completely_while_the_terminal_is_resized() -> None:
    session = small()
    async with app_on(session).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for size in ((300, 100), (61, 15), (200, 20), (100, 30), (59, 40), (170, 44), (99, 29), (80, 24)):
            await pilot.resize_terminal(*size)
            session.record(e.Warned(f"at {size}"))
            await settle(pilot)
            lines = painted(pilot.app).split("\n")
            assert len(lines) == size[1]
            assert {cell_len(line) for line in lines} == {size[0]}
            assert "mdconv" in lines[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_numbers_and_tab_focus_panes(size: tuple[int, int]) -> None:
    async with app_on(small()).run_test(size=size) as pilot:
        await settle(pilot)
        for key, pane in zip("12345", Pane, strict=True):
            await press(pilot, key)
            assert main_of(pilot.app).panes.pane is pane
            assert main_of(pilot.app).query_one(f"#pane-{pane}").has_focus_within
        await press(pilot, "tab")
        assert main_of(pilot.app).panes.pane is Pane.AGENTS
        await press(pilot, "shift+tab")
        assert main_of(pilot.app).panes.pane is Pane.RESOURCES


async def test_the_selection_survives_updates_folding_and_filters() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "j", "j", "j")
        chosen = pilot.app.view.selected
        worker = session.run.agents[chosen]
        other = session.run.paths["root/cli"]  # type: ignore[index]
        for number in range(30):
            spawn(session, f"root/cli/n-{number}", other, Role.WORKER, "new")
        await settle(pilot)
        assert pilot.app.view.selected == chosen
        assert main_of(pilot.app).panes.agents.current == chosen
        await press(pilot, "slash", *"under:root/blocks", "enter")
        assert main_of(pilot.app).panes.agents.current == chosen
        await press(pilot, "escape")
        assert main_of(pilot.app).panes.agents.current == chosen
        await press(pilot, "minus")
        assert main_of(pilot.app).panes.agents.current in {a.id for a in session.run.ancestors(worker.id)}


async def test_a_filter_shows_its_matches_and_errors() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "slash", *"role:worker")
        assert "shown" in painted(pilot.app)
        before = main_of(pilot.app).panes.agents.matches
        pilot.app.screen.query_one("#filter", Input).value = "role:worker state:nonsense"
        await settle(pilot)
        assert "state: must be" in painted(pilot.app)
        assert main_of(pilot.app).panes.agents.matches == before
        await press(pilot, "escape")
        assert main_of(pilot.app).panes.agents.filter_text == ""


async def test_one_key_pauses_and_resumes_a_subtree() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "p")
        assert session.commands == [Pause(session.agent("root/blocks").path)]
        assert "paused " in painted(pilot.app)
        await press(pilot, "p")
        assert session.commands[-1] == Resume(session.agent("root/blocks").path)


async def test_one_key_freezes_a_paused_subtree_and_resumes_a_frozen_one() -> None:
    session = small()
    path = session.agent("root/blocks").path
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "p", "Z")
        assert session.commands[-1] == Pause(path, freeze=True)
        session.record(e.SubtreePaused(freeze=True), agent=session.agent("root/blocks").id)
        await settle(pilot)
        await press(pilot, "Z")
        assert session.commands[-1] == Resume(path)


async def test_a_child_of_a_paused_subtree_is_not_paused_again() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        main_of(pilot.app).panes.agents.select(session.agent("root/tables/w-4").id)
        await press(pilot, "p")
        assert session.commands == []


async def test_steering_sends_one_message_to_the_selected_agent() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "s", *"use re", "enter")
        assert session.commands == [Steer(session.agent("root/blocks").path, "use re")]
        await press(pilot, "s", *"never mind", "escape")
        assert len(session.commands) == 1


async def test_marked_agents_are_steered_together() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "space", "space", "S", *"hi", "enter")
        assert len(session.commands) == 2


async def test_cancel_asks_first_and_the_root_cannot_be_cancelled() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "x")
        assert session.commands == []
        assert len(pilot.app.screen_stack) == 2
        await press(pilot, "j", "x", "n")
        assert session.commands == []
        await press(pilot, "x", "y")
        assert session.commands == [Cancel(session.agent("root/blocks").path)]


async def test_a_refused_command_shows_its_reason_and_hint() -> None:
    session = small()
    session.record(e.WorkersLimited(1, "person"))
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "less_than_sign")
        assert session.commands == [SetWorkers(0)]
        assert "at least one worker" in shown_notes(pilot.app)


async def test_enter_opens_an_agents_detail_and_escape_goes_back() -> None:
    session = small()
    async with app_on(session).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "j", "j", "enter")
        assert main_of(pilot.app).panes.pane is Pane.DETAIL
        assert "The fence regex misses tildes" in painted(pilot.app)
        await press(pilot, "escape")
        assert main_of(pilot.app).panes.pane is Pane.AGENTS


async def test_each_tab_of_the_detail_shows_its_content() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        worker = session.agent("root/blocks/w-4")
        main_of(pilot.app).panes.agents.select(worker.id)
        words = {
            Tab.NOW: "shell pytest -q",
            Tab.DIFF: "src/mdconv/blocks.py",
            Tab.MESSAGES: "I look at the failing test",
            Tab.TASK: "Acceptance",
            Tab.SCRATCHPAD: "No scratchpad yet",
            Tab.LOG: "task started, attempt 1",
        }
        await press(pilot, "2")
        for tab in Tab:
            assert main_of(pilot.app).panes.detail.tab is tab
            assert words[tab] in painted(pilot.app), tab
            await press(pilot, "right_square_bracket")
        assert main_of(pilot.app).panes.detail.tab is Tab.NOW


async def test_a_diff_jumps_by_hunk_and_file() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        main_of(pilot.app).panes.agents.select(session.agent("root/blocks/w-4").id)
        await press(pilot, "2", "right_square_bracket")
        view = main_of(pilot.app).panes.detail.body
        kinds = []
        for key in ("l", "l", "n", "N"):
            await press(pilot, key)
            kinds.append("".join(span.text for span in view.line(view.cursor, 80)))  # type: ignore[attr-defined]
        assert "line 12" in kinds[0]
        assert "line 85" in kinds[1]
        assert "tests/test_fences.py" in kinds[2]
        assert "src/mdconv/blocks.py" in kinds[3]


async def test_a_handoff_is_shown_with_every_section() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "slash", *"status:failed", "enter", "enter")
        text = painted(pilot.app)
        for word in ("Summary", "six times", "Concerns", "port is closed", "Findings", "Feedback", "Task"):
            assert word in text
        assert "Deviations" not in text
        wants = len(pilot.app.view.attention())
        await press(pilot, "m")
        assert isinstance(session.commands[-1], Resolve)
        assert len(pilot.app.view.attention()) == wants - 1
        await press(pilot, "escape", "u")
        assert len(pilot.app.view.attention()) == wants
        await press(pilot, "U", "enter")
        assert "resolved at" in painted(pilot.app)


async def test_a_handoff_shows_the_facts_and_marks_a_claim_that_they_do_not_bear_out() -> None:
    session = small()
    landing = next(each for each in reversed(session.run.landings) if each.commit is not None)
    handoff = next(each for each in session.run.handoffs.values() if each.task == landing.task)
    facts = Facts(
        wall_s=720.0,
        attempts=1,
        steps=41,
        tokens=182_000,
        commits=1,
        files=2,
        added=120,
        removed=4,
        onto_newer=True,
        tests=(SuiteRun("pytest -q", False, "exit 1", 12.0, "1 failed in 2 s"),),
        doubts=("says the tests pass; the last test run ended with exit 1",),
    )
    newer = msgspec.structs.replace(handoff, id=HandoffId("h99999"), commit=landing.commit, facts=facts)
    wanted = session.run.handoff_count
    session.record(e.HandedOff(newer), agent=handoff.agent, task=handoff.task)
    checked = Check(session.at, landing.commit or CommitId(""), False, 1, "", 1.0)
    session.record(e.CheckFinished(checked))
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        assert session.run.handoff_count == wanted + 1
        await press(pilot, "3")
        assert "claim in doubt" in painted(pilot.app)
        await press(pilot, "enter")
        text = painted(pilot.app)
        for words in (
            f"landed as {(landing.commit or '')[:10]}, merged with newer trunk",
            "with it, at",
            "changed: 2 files, +120 -4",
            "took: 12 min, 41 steps, 182,000 tokens",
            "tests: `pytest -q`: exit 1 after 12 s",
            "1 failed in 2 s",
            "claim: says the tests pass; the last test run ended with exit 1",
        ):
            assert words in text, words


async def test_the_attention_key_goes_to_each_item_that_needs_a_person() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "exclamation_mark")
        assert main_of(pilot.app).panes.pane is Pane.HANDOFFS
        current = main_of(pilot.app).panes.handoffs.current
        assert current is not None
        assert current.text.concerns


async def test_the_selected_handoff_stays_selected_when_others_arrive() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "j", "j")
        chosen = main_of(pilot.app).panes.handoffs.current
        planner = session.agent("root/cli").id
        id = task(session, planner, "late")
        worker = spawn(session, "root/cli/late", planner, Role.WORKER, "late", task=id)
        work(session, worker, id, "shell true", 100)
        land(session, worker, id)
        await settle(pilot)
        assert main_of(pilot.app).panes.handoffs.current == chosen


async def test_the_handoff_that_is_open_stays_selected_when_a_newer_one_arrives() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter")
        read = main_of(pilot.app).panes.handoffs.current
        assert read is not None
        _hand_off_another(session)
        await settle(pilot)
        await press(pilot, "m")
        assert session.commands[-1] == Resolve(read.id, True)
        await press(pilot, "escape", "1")
        _hand_off_another(session)
        await settle(pilot)
        await press(pilot, "3")
        assert main_of(pilot.app).panes.handoffs.cursor > 0, "the list keeps to what a person chose"


def _hand_off_another(session: FakeSession) -> AgentId:
    planner = session.agent("root/cli").id
    number = len(session.run.agents)
    id = task(session, planner, "late")
    worker = spawn(session, f"root/cli/late-{number}", planner, Role.WORKER, "late", task=id)
    work(session, worker, id, "shell true", 100)
    land(session, worker, id)
    return worker


async def test_a_filter_applies_to_agents_that_start_later() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        main = main_of(pilot.app)
        main.panes.handoffs.set_filter("under:root/cli")
        main.panes.event_list.set_filter("under:root/cli role:worker")
        worker = _hand_off_another(session)
        await settle(pilot)
        assert any(handoff.agent == worker for handoff in main.panes.handoffs._handoffs)
        assert any(event.agent == worker for event in main.panes.event_list._shown)


async def test_events_follow_until_a_person_scrolls_up() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        events = main_of(pilot.app).panes.event_list
        assert events.follow
        session.record(e.Warned("first"))
        await settle(pilot)
        assert "first" in painted(pilot.app)
        await press(pilot, "k", "k")
        assert not events.follow
        held = events.current
        for number in range(50):
            session.record(e.Warned(f"more {number}"))
        await settle(pilot)
        assert events.current == held
        await press(pilot, "G")
        assert events.follow
        assert "more 49" in painted(pilot.app)


async def test_scrolling_up_reads_older_events_from_the_journal() -> None:
    session = swarm(60)
    kept = session.events_after
    session.events_after = lambda seq: kept(max(seq, session.run.seq - 60))  # type: ignore[method-assign]
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        events = main_of(pilot.app).panes.event_list
        await press(pilot, "4", "g")
        first, top = events.current, events.line_count()
        assert first is not None
        assert first.seq > session.run.seq - 60
        await press(pilot, "k", "k")
        assert events.current is not None
        assert events.current.seq < first.seq
        while events.cursor:
            await press(pilot, "g")
        assert events.current == next(line for line in kept(0) if line.tone != "routine")
        assert events.line_count() == sum(line.tone != "routine" for line in kept(0)) > top
        await press(pilot, "slash", *"kind:task_queued", "enter", "g", "g", "g", "g", "g", "g")
        assert events.matches == sum(line.kind == "task_queued" for line in kept(0))
        await press(pilot, "escape", "4", "f")
        assert events.follow
        session.record(e.Warned("new"))
        await settle(pilot)
        assert events.line_count() <= 62


async def test_scrolling_up_with_the_wheel_stops_following_events() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        events = main_of(pilot.app).panes.event_list
        await pilot._post_mouse_events([MouseScrollUp], "#events", (5, 3))
        await settle(pilot)
        top = events.scroll_offset.y
        for number in range(9):
            session.record(e.Warned(f"more {number}"))
        await settle(pilot)
        assert not events.follow
        assert events.scroll_offset.y == top
        assert "not following · 9 new · f follows" in painted(pilot.app)
        await press(pilot, "4", "f")
        assert "more 8" in painted(pilot.app)


async def test_a_key_shows_every_kind_of_event() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        events = main_of(pilot.app).panes.event_list
        few = events.matches
        await press(pilot, "a")
        assert events.matches == session.run.seq > few
        assert {line.kind for line in session.events_after(0)} <= set(EVENT_KINDS)
        await press(pilot, "a", "slash", *"kind:agent_state", "enter")
        kinds = {line.kind for line in session.events_after(0) if line.kind.startswith("agent_state")}
        assert events.matches == sum(line.kind in kinds for line in session.events_after(0))
        await press(pilot, "slash", *"x:1")
        assert "unknown x:, use kind:, tone:" in painted(pilot.app)


async def test_enter_on_an_event_selects_its_agent() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "4", "slash", *"tone:bad kind:task_ended", "enter")
        agent = main_of(pilot.app).panes.event_list.current.agent  # type: ignore[union-attr]
        await press(pilot, "enter")
        assert pilot.app.view.selected == agent
        main = main_of(pilot.app)
        assert main.panes.pane is Pane.DETAIL
        log = main.query_one(LogView)
        assert main.panes.detail.body is log
        assert log.current is not None
        assert log.current.kind == "task_ended"


async def test_the_frame_of_the_agents_shows_the_path_of_the_selected_one() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        main_of(pilot.app).panes.agents.select(session.agent("root/blocks/lists/w-4").id)
        await settle(pilot)
        assert "root › blocks › lists › w-4" in painted(pilot.app)


async def test_a_click_on_a_triangle_folds_its_planner() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        tree = main_of(pilot.app).panes.agents
        before = tree.line_count()
        await pilot.click("#agents", offset=(3, 1))
        await settle(pilot)
        assert tree.line_count() < before
        await pilot.click("#agents", offset=(3, 1))
        await settle(pilot)
        assert tree.line_count() == before


async def test_resources_show_every_time_range_with_axes_units_and_limits() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "5", "plus")
        for time_range in TimeRange:
            text = painted(pilot.app)
            for word in (
                "build gate",
                "3 waiting",
                "free",
                "/s",
                "100%",
                "rate limited",
                "RAM 0%",
                "top users",
                "root/",
                f"5 resources · {main_of(pilot.app).query_one(Resources).time_range}",
            ):
                assert word in text
            assert time_range in TimeRange
            await press(pilot, "r")
        assert main_of(pilot.app).query_one(Resources).time_range is TimeRange.TEN_MINUTES


async def test_resources_rank_agents_by_what_a_person_chooses() -> None:
    session = small()
    hungry, busy = session.agent("root/cli"), session.agent("root/blocks")
    uses = {hungry.id: AgentUse(memory=3 << 29, disk_read=2048.0), busy.id: AgentUse(memory=1 << 20, cpu=87.0)}
    session.record(e.AgentsSampled(uses))
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "5", "plus")

        def first() -> str:
            table = painted(pilot.app).partition("top users")[2]
            return table.splitlines()[1]

        agents = session.run.agents.values()
        tokens = max(agents, key=lambda agent: agent.usage.input + agent.usage.output)
        cost = max(agents, key=lambda agent: agent.usage.usd or 0.0)
        for path, amount in (
            (tokens.path, ""),
            (cost.path, ""),
            (hungry.path, "1.5G"),
            (busy.path, "87%"),
            (hungry.path, "2K/s"),
        ):
            assert f" {path} " in first()
            assert amount in first()
            await press(pilot, "o")


async def test_a_long_run_reads_its_older_measurements_from_the_journal() -> None:
    session = small()
    for number in range(1100):
        session.at += 5_000_000
        session.record(e.Sampled(Sample(cpu=1.0 if number else 99.0, memory_free=1 << 33, disk_free=1 << 36)))
    asked: list[int] = []
    older = [(session.run.created_at + 1, Sample(cpu=99.0))]
    session.samples = lambda points: (asked.append(points), done(older))[1]  # type: ignore[method-assign,func-returns-value]
    async with app_on(session).run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await press(pilot, "5", "r", "r")
        assert main_of(pilot.app).query_one(Resources).time_range is TimeRange.ALL
        await settle(pilot)
        assert len(asked) == 1
        assert main_of(pilot.app).query_one(Resources)._samples(session.run)[0] == older[0]


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40), (300, 100)])
async def test_a_narrow_header_keeps_what_matters_most(size: tuple[int, int]) -> None:
    session = small()
    session.run.models = {"planner": ModelName("anthropic:large"), "worker": ModelName("rehearsal:markdown?speed=0")}
    async with app_on(session).run_test(size=size) as pilot:
        await settle(pilot)
        header = main_of(pilot.app).query_one(Header)
        lines = header.lines(size[0])
        assert all(width_of(line) <= size[0] for line in lines)
        text = painted(pilot.app)
        for word in ("mdconv", "REHEARSAL", "sandbox: namespaced", "● 15", "↥ 17", "$2.44", "27s"):
            assert word in text
        if size[0] >= 80:
            for word in ("large", "markdown", "planner", "checks", "green", "1.3M", "✗ 1", "◔ 7"):
                assert word in text


@pytest.mark.parametrize(
    ("size", "words"), [((80, 24), "full (2 limits) "), ((140, 40), "full (2 limits: see doctor) ")]
)
async def test_the_header_shows_a_limited_sandbox_and_the_events_its_limits(size: tuple[int, int], words: str) -> None:
    session = small()
    async with app_on(session).run_test(size=size) as pilot:
        session.record(e.EpochStarted(1, "full", "overlay", "", ("memory is polled", "no filter")))
        await settle(pilot)
        assert words in painted(pilot.app)
        texts = [each.text for each in session.events_after(0) if "not guaranteed" in each.text]
        assert texts == ["process 1 owns the run; sandbox: full; not guaranteed: memory is polled; no filter"]


async def test_the_header_shows_spending_against_the_budget() -> None:
    session = small()
    budget = BudgetSettings(usd=2.5, tokens=10_000_000, wall="8h")
    session.run.settings = msgspec.json.encode(Settings(budget=budget)).decode()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        line = painted(pilot.app).split("\n")[2]
        assert "1.3M of 10.0M tokens" in line
        assert "$2.44 of $2.50" in line
        assert "27s of 8h00m" in line


async def test_the_header_shows_what_still_runs_while_the_root_is_paused() -> None:
    session = FakeSession()
    root = begin(session)
    id = task(session, root, "one")
    worker = spawn(session, "root/w-1", root, Role.WORKER, "one", task=id)
    work(session, worker, id, "shell make", 10)
    session.record(e.AgentStateChanged(AgentState.WAITING, "for a message"), agent=root)
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        for change, words in (
            (None, "● running 0s"),
            (e.SubtreePaused(), "‖ pausing, 1 command left"),
            (e.SubtreePaused(freeze=True), "‖ frozen 0s"),
            (e.SubtreePaused(), "‖ pausing, 1 command left"),
        ):
            if change is not None:
                session.record(change, agent=root)
            await settle(pilot)
            assert words in painted(pilot.app).split("\n")[0]
        session.record(e.AgentStateChanged(AgentState.PAUSED), agent=worker)
        await settle(pilot)
        assert "‖ paused 0s" in painted(pilot.app).split("\n")[0]


async def test_the_header_shows_the_limit_of_a_subtree_or_the_number_of_limits() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        session.record(e.SubtreeLimited(3), agent=session.agent("root/blocks").id)
        await settle(pilot)
        assert "≤3 workers below root/blocks" in painted(pilot.app).split("\n")[2]
        session.record(e.SubtreeLimited(0), agent=session.agent("root/cli").id)
        await settle(pilot)
        assert "2 limits in subtrees and roles" in painted(pilot.app).split("\n")[2]


async def test_a_frozen_screen_does_not_change_while_the_run_continues() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "F")
        before = pilot.app.view.version
        session.record(e.Warned("unseen"))
        await settle(pilot)
        assert pilot.app.view.version == before
        assert "FROZEN" in painted(pilot.app)
        await press(pilot, "F")
        assert pilot.app.view.version == session.run.seq


async def test_a_new_intent_is_reviewed_before_it_is_applied() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", *"Also: ", "f2")
        assert session.commands == []
        assert "+ Also: # Markdown converter" in painted(pilot.app)
        await press(pilot, "y")
        command = session.commands[-1]
        assert isinstance(command, SubmitIntent)
        assert command.text.startswith("Also: # Markdown")
        assert len(session.run.intents) == 2


async def test_versions_of_the_intent_can_be_read_and_rolled_back() -> None:
    session = small()
    first = session.run.intents[0].text
    session.submit(SubmitIntent("another thing"))
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", "escape", "right_square_bracket")
        assert "version 1" in painted(pilot.app)
        await press(pilot, "u", "y")
        assert session.commands[-1] == SubmitIntent(first)


async def test_a_draft_is_kept_when_the_editor_is_closed() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "i", *"kept ", "escape", "escape")
        assert len(pilot.app.screen_stack) == 2
        await press(pilot, "i")
        assert "kept # Markdown" in painted(pilot.app)


async def test_help_lists_the_keys_of_the_focused_pane_and_why_some_are_not_available() -> None:
    async with app_on(small()).run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        await press(pilot, "question_mark")
        text = painted(pilot.app)
        assert "Pause or resume the subtree" in text
        assert "the root cannot be cancelled" in text
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 2


@pytest.mark.parametrize(("key", "mode"), [("s", CloseMode.STOP), ("p", CloseMode.PAUSE)])
async def test_each_item_of_the_quit_menu_closes_the_session_in_its_way(key: str, mode: CloseMode) -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "q", "d")
        assert session.closed is None
        assert "another process cannot take this run over" in painted(pilot.app)
        assert "detach" in shown_notes(pilot.app)
        await pilot.press(key)
    assert session.closed is mode


async def test_while_quitting_q_quits_at_once_and_once_more_whatever_the_engine_does() -> None:
    session = small()
    never: Future[None] = Future()
    asked: list[CloseMode] = []
    session.close = lambda mode: (asked.append(mode), never)[1]  # type: ignore[assignment,method-assign,func-returns-value]
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "q")
        await pilot.press("s")
        assert "press q to quit at once" in shown_notes(app)
        await pilot.press("q")
        assert asked == [CloseMode.STOP, CloseMode.NOW]
        assert app.impatient
        await pilot.press("q")
    assert app.return_value == 4


async def test_the_first_run_starts_with_one_key() -> None:
    session = small()
    opened: list[str | None] = []
    plan = RunPlan("/home/me/src/mdconv", "main", "make test", {"planner": "rehearsal:markdown"}, "namespaced")
    app = app_on(session, plan=plan)
    app._launch = app._launch._replace(open_session=lambda intent: (opened.append(intent), session)[1])  # type: ignore[func-returns-value]
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        text = painted(app)
        for word in ("/home/me/src/mdconv", "make test", "rehearsal:markdown", "namespaced"):
            assert word in text
        await pilot.press("f2")
        await pilot.pause()
        assert not opened
        await pilot.press(*"build it", "f2")
        await settle(pilot)
        assert opened == ["build it"]
        assert session.started
        assert main_of(app).panes.pane is Pane.AGENTS


async def test_a_run_that_cannot_start_says_why() -> None:
    plan = RunPlan("/r", problem="no model is chosen", hint="swarm-tui demo needs no key", draft="x")
    async with app_on(small(), plan=plan).run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("f2")
        await pilot.pause()
        assert "no model is chosen" in shown_notes(pilot.app)
        assert isinstance(pilot.app.screen_stack[-1], type(pilot.app.screen))


async def test_a_remapped_key_works_and_shows_in_the_footer() -> None:
    session = small()
    async with app_on(session, keys={"agents.pause": "z"}).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "p")
        assert session.commands == []
        await press(pilot, "z")
        assert len(session.commands) == 1
        assert "z resume" in painted(pilot.app).split("\n")[-1]


async def test_five_thousand_agents_paint_only_what_is_visible() -> None:
    session = swarm(5000)
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        tree = main_of(pilot.app).panes.agents
        assert tree.line_count() == 5000
        painted_rows: list[int] = []
        line = tree.line
        tree.line = lambda index, cells: (painted_rows.append(index), line(index, cells))[1]  # type: ignore[method-assign,func-returns-value]
        await press(pilot, "G")
        assert tree.cursor == 4999
        assert 0 < len(set(painted_rows)) < 120


async def test_the_selection_stays_when_an_ended_agent_moves_down() -> None:
    session = FakeSession()
    root = begin(session)
    workers = [spawn(session, f"root/w-{n}", root, Role.WORKER, f"task {n}") for n in range(3)]
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "j")
        assert pilot.app.view.selected == workers[1]
        session.record(e.AgentStateChanged(AgentState.DONE), agent=workers[0])
        await settle(pilot)
        assert main_of(pilot.app).panes.agents.current == workers[1]


async def test_model_priority_worker_limit_and_goal_of_a_subtree_are_changed() -> None:
    session = small()
    path = session.agent("root/blocks").path
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "m", "ctrl+u", *"nobody:x", "enter")
        assert session.commands == []
        await press(pilot, "m", "ctrl+u", *"openai:small", "enter")
        assert session.commands == [SetModel(ModelName("openai:small"), path)]
        await press(pilot, "number_sign", "ctrl+u", *"soon", "enter")
        assert "not a whole number" in shown_notes(pilot.app)
        await press(pilot, "number_sign", "ctrl+u", *"-3", "enter")
        assert session.commands[-1] == SetPriority(path, -3)
        await press(pilot, "w", "ctrl+u", *"few", "enter")
        assert "any removes the limit" in shown_notes(pilot.app)
        await press(pilot, "w", "ctrl+u", *"2", "enter", "u", "U")
        assert session.commands[-3:] == [SetWorkers(2, path), SetWorkers(None, path), SetWorkers(2, path)]
        await press(pilot, "w", "ctrl+u", *"any", "enter")
        assert session.commands[-1] == SetWorkers(None, path)
        await press(pilot, "R", "ctrl+u", *"only fences", "enter", "ctrl+u", *"fences/", "enter")
        assert session.commands[-1] == Rescope(path, "only fences", "fences/")
        await press(pilot, "R", "ctrl+u", *"only rules", "enter", "ctrl+u", *"all the rules", "enter")
        assert "put words into the goal" in shown_notes(pilot.app)
        assert session.commands[-1] == Rescope(path, "only fences", "fences/")
        await press(pilot, "ctrl+u", *"rules/**", "enter")
        assert session.commands[-1] == Rescope(path, "only rules", "rules/**")
        await press(pilot, "m", "ctrl+u", *"worker=openai:small", "enter")
        assert session.commands[-1] == SetModel(ModelName("openai:small"), role=Role.WORKER)
        count = len(session.commands)
        main_of(pilot.app).panes.agents.select(session.agent("root").id)
        await press(pilot, "R")
        assert "the root's goal is the intent" in shown_notes(pilot.app)
        main_of(pilot.app).panes.agents.select(session.agent("root/blocks/w-4").id)
        await press(pilot, "number_sign")
        assert "only for planners" in shown_notes(pilot.app)
        assert len(session.commands) == count


async def test_copy_takes_the_text_of_the_focused_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "j", "y")
        assert pilot.app.clipboard == "root/blocks"
        main_of(pilot.app).panes.agents.select(session.agent("root/blocks/w-4").id)
        await press(pilot, "2", "right_square_bracket", "y")
        assert pilot.app.clipboard.startswith("diff --git a/src/mdconv/blocks.py")
        await press(pilot, "3", "y")
        assert "Summary" in pilot.app.clipboard


async def test_the_quit_menu_is_centred_and_takes_keys() -> None:
    session = small()
    async with app_on(session).run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "q")
        box = pilot.app.screen.query_one("#menu").region
        assert abs(box.x - (80 - box.right)) <= 1
        assert box.y > 3
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 2
        await press(pilot, "q", "j", "enter")
        assert session.closed is CloseMode.STOP


async def test_a_run_whose_process_died_says_what_to_do() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        session.mark, session.read_only = "CRASHED", "no process works on it: swarm-tui resume r-4kq2"
        session.notice = "The run's process died. Go on with: swarm-tui resume r-4kq2"
        await settle(pilot)
        assert "The run's process died" in shown_notes(pilot.app)
        assert "CRASHED" in painted(pilot.app).split("\n")[0]
        await press(pilot, "j", "p")
        assert session.commands == []
        assert "swarm-tui resume r-4kq2" in shown_notes(pilot.app)


async def test_double_clicks_triple_clicks_and_drags_are_safe_anywhere() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        for key in ("", "question_mark", "s", "T", "i", "x"):
            if key:
                await press(pilot, key)
            for x, y in ((0, 0), (30, 0), (15, 3), (30, 9), (60, 20), (59, 21), (100, 30), (15, 38), (119, 39)):
                await pilot.click(offset=(x, y), times=3)
                await pilot.mouse_down(offset=(x, y))
                await pilot.hover(offset=(119 - x, 39 - y))
                await pilot.mouse_up(offset=(119 - x, 39 - y))
            await settle(pilot)
            while len(pilot.app.screen_stack) > 2:
                await press(pilot, "escape")
        assert pilot.app.is_running
        assert pilot.app.return_value is None


async def test_every_input_cuts_off_a_huge_paste_and_joins_its_lines() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app = pilot.app
        for key, taken in (("slash", 500), ("s", 4000), ("ctrl+p", 4000)):
            await press(pilot, key)
            app.post_message(Paste("lorem ipsum\n" * 80_000))
            await settle(pilot)
            assert isinstance(app.focused, Input)
            assert app.focused.value.startswith("lorem ipsum lorem ipsum")
            assert len(app.focused.value) == taken
            assert f"only the first {taken} characters" in shown_notes(app)
            await press(pilot, "escape")
        await press(pilot, "i")
        app.post_message(Paste("lorem ipsum\n" * 80_000))
        await settle(pilot)
        editor = app.screen.query_one(MarkdownEditor)
        assert len(editor.text) == MOST
        assert "pasted in part" in shown_notes(app)


async def test_keys_that_arrive_together_go_to_the_screen_that_the_first_one_opens() -> None:
    session = small()
    async with app_on(session).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        for key in ("slash", *"role:worker", "enter", "s", *"go on", "enter", "question_mark", "escape", "j"):
            character = {"slash": "/", "question_mark": "?", " ": " "}.get(key, key if len(key) == 1 else None)
            pilot.app.post_message(Key({" ": "space", ":": "colon"}.get(key, key), character))
        for _ in range(60):
            await settle(pilot)
        assert main_of(pilot.app).panes.agents.filter_text == "role:worker"
        steer = next(command for command in session.commands if isinstance(command, Steer))
        assert steer.text == "go on"
        assert pilot.app.screen is main_of(pilot.app)
        assert len(session.commands) == 1

"""What a planner is told of its work: by `status`, in the message that wakes it, after a restart and a compaction."""

import asyncio
import re

from engine.domain.commands import SetWorkers
from engine.domain.conversation import Request, ToolAnswer, ToolCall, Turn
from engine.domain.events import Event, ToolFinished
from engine.domain.settings import BudgetSettings, PlannerSettings, Settings, SwarmSettings
from engine.domain.types import ModelName
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import fresh, resumed, run
from tests.simulated import answers, call, first_line, turn

STATUS = turn(call("status"))


def statuses(request: Request) -> list[str]:
    """The status in each message that the agent has got."""
    texts = [
        message.text.partition("# Status\n\n")[2].partition("\n\n")[0]
        for message in request.messages
        if message.role == "user"
    ]
    return [text for text in texts if text]


def worker(request: Request) -> Turn:
    name = first_line(request).removeprefix("# Task: ")
    return done() if turns(request) else writes(f"{name}.txt", f"{name}\n")


def asked(w: simulated.World, heading: str) -> list[Request]:
    return [each.request for each in w.models.asked if first_line(each.request).startswith(heading)]


def test_a_wake_says_what_is_open_what_trunk_is_and_what_is_used() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("a", "b")(request)
        if first_line(request) == "# Task: b" and turns(request) == 1:
            return turn(call("shell", command="make", timeout_s=90))
        return worker(request)

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        first, last = statuses(asked(w, "# Intent")[-1])
        tip = swarm.snapshot.trunk[:10]
        assert re.fullmatch(
            r"open:\n"
            r"- t\w+ b: at work, \d+ s\n"
            r"trunk: \w{10}; check passed on \w{10} 1 landing and \d+ s ago in 1 s; green too\n"
            r"the run: \d\.\d\d of 5\.00 USD used, \d\.\d\d left; \d+ s of 2 h used, 2 h left",
            first,
        ), first
        assert last.startswith(f"open: nothing\ntrunk: {tip}; "), last

    settings = Settings(budget=BudgetSettings(usd=5.0, wall="2h"), swarm=SwarmSettings(workers=2))
    run(script, examine, settings=settings, check=True, shell=lambda workspace, command: simulated.Ran(0, "", 60.0))


def looks(tasks_of_root: tuple[str, ...], slices: tuple[str, ...] = (), times: int = 1) -> simulated.models.Script:
    """A root planner that calls `status` once all is handed off, and each slice with one task."""

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Slice"):
            return planner_of(f"{heading.rpartition(' ')[2]} 1")(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                spawn = (call("spawn_subplanner", title=title, goal="own it") for title in slices)
                return turn(*tasks(*tasks_of_root).message.calls, *spawn)
            if said(request).count("# Handoff: ") < len(tasks_of_root) + len(slices):
                return turn(call("wait"))
            looked = sum(call_.tool == "status" for message in request.messages for call_ in message.calls)
            return STATUS if looked < times else done()
        if heading == "# Task: bad":
            return turn(call("submit_handoff", status="failed", summary="it cannot be done"))
        return worker(request)

    return script


def status_answers(request: Request) -> list[str]:
    blocks = [block for message in request.messages for block in message.blocks]
    names = {block.id: block.tool for block in blocks if isinstance(block, ToolCall)}
    return [block.text for block in blocks if isinstance(block, ToolAnswer) and names[block.id] == "status"]


def test_status_gives_tasks_and_slices_with_ids_states_and_ages_but_not_who_works_on_them() -> None:
    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        [answer] = status_answers(asked(w, "# Intent")[-1])
        ended, rest = answer.split("\n\n")
        title, *lines = ended.splitlines()
        slices, landed, failed = sorted(lines, key=lambda line: ("slice" not in line, "landed" not in line))
        assert title == "ended, newest first (3):"
        assert re.fullmatch(r"- slice Half: handed off, \d+ s ago", slices)
        assert re.fullmatch(r"- t\w+ a: landed as \w{10}, 1 file, \+1 -0, \d+ s ago", landed)
        assert re.fullmatch(r'- t\w+ bad: failed: "it cannot be done", \d+ s ago', failed)
        assert re.fullmatch(
            r"trunk: \w{10}; no check is configured\nthe run: [\d,]+ tokens and \d+ s used, no limit", rest
        )
        assert not re.search(r"root|w-\d|worker|slot", answer)

    run(looks(("a", "bad"), ("Half",)), examine)


def test_what_landed_is_told_once_with_commit_task_files_and_lines_and_also_what_other_slices_landed() -> None:
    """The handoffs told of the planner's own landing; of the slice's task it has not heard."""

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent") and turns(request) == 1:
            return turn(call("shell", command="look", timeout_s=90))  # while all of it lands
        if first_line(request).startswith("# Intent") and turns(request) in (2, 3):
            return STATUS
        return looks(("a",), ("Half",), times=2)(model, request)

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        messages = statuses(asked(w, "# Intent")[-1])
        assert "landed since you last looked: 1 landing of others' tasks (1 file)\n" in "".join(messages)
        for answer in status_answers(asked(w, "# Intent")[-1]):
            assert "landed since you last looked" not in answer, "the messages told of it"

    run(script, examine, shell=lambda workspace, command: simulated.Ran(0, "", 60.0))


def test_status_lists_what_landed_while_no_message_was_read() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        match turns(request):
            case 0:
                return tasks("a", "b")
            case 1:
                return turn(call("shell", command="look", timeout_s=90), call("status"), call("status"))
        return turn(call("wait")) if said(request).count("# Handoff: ") < 2 else done()

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        first, second = status_answers(asked(w, "# Intent")[-1])
        landed = first.partition("\n\n")[0].splitlines()
        assert landed[0] == "landed since you last looked, newest first (2):"
        assert re.fullmatch(r"- \w{10} t\w+ [ab]: 1 file, \+1 -0", landed[1])
        assert "\n- t" not in first.partition("\n\n")[2], "they are listed once"
        assert "landed since" not in second, "a second look finds nothing new"
        assert second.startswith("ended, newest first (2):\n- t")
        assert "landed since" not in "".join(statuses(asked(w, "# Intent")[-1]))

    run(script, examine, shell=lambda workspace, command: simulated.Ran(0, "", 60.0))


def test_after_a_kill_a_planner_is_told_what_landed_since_it_last_looked_and_nothing_twice() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Slice"):
            return planner_of("theirs")(request)
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        if turns(request) == 0:
            return turn(*tasks("a").message.calls, call("spawn_subplanner", title="Half", goal="own it"))
        if said(request).count("# Handoff: ") < 2:
            return turn(call("wait"))
        return turn(call("shell", command="look")) if turns(request) < 5 else done()

    async def main(clock: simulated.SimulatedClock, at: str) -> list[str]:
        w = simulated.world(clock, script)
        swarm = fresh(w)
        swarm.on_change(lambda event: w.journal.crash_after(event.seq) if event.kind == at else None)
        running = asyncio.ensure_future(swarm.run())
        failed = asyncio.ensure_future(w.power.failed.wait())
        await asyncio.wait({running, failed}, return_when=asyncio.FIRST_COMPLETED)
        await w.bury([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        w = w.restart()
        again = await resumed(w)
        await again.run()
        return statuses(asked(w, "# Intent")[-1])

    for at in ("handed_off", "task_ended"):
        told = simulated.simulate(lambda clock, at=at: main(clock, at))
        news = [line for text in told for line in text.splitlines() if line.startswith("landed since")]
        assert len(news) <= 1, news
        assert all(text.startswith("open:") for text in told)
    assert told


def test_a_planner_with_hundreds_of_tasks_gets_a_bounded_status() -> None:
    titles = tuple(f"task {number}" for number in range(300))

    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        if turns(request) == 0:
            return turn(*(tasks(*titles[at : at + 60]).message.calls[0] for at in range(0, 300, 60)), call("status"))
        if said(request).count("# Handoff: ") < 300:
            return turn(call("wait"))
        return done() if any("trunk: " in text for text in answers(request)) else STATUS

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        first, last = status_answers(asked(w, "# Intent")[-1])
        assert first.startswith("open (300: 20 at work, 280 queued):\n")
        assert "\n- 200 more\n" in first
        assert len(first.splitlines()) < 110
        assert last.startswith("ended, newest first (300: 300 landed):\n")
        assert "\n- 280 more\n" in last
        assert len(last.splitlines()) < 30
        assert max(len(text.splitlines()) for text in statuses(asked(w, "# Intent")[-1])) <= 8

    many = Settings(
        swarm=SwarmSettings(workers=20), planner=PlannerSettings(max_open_tasks=400, max_tasks_per_hour=900)
    )
    run(script, examine, settings=many)


def test_a_planner_that_polls_status_instead_of_waiting_is_nudged() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return turn(call("shell", command="make", timeout_s=90)) if turns(request) == 0 else worker(request)
        if turns(request) == 0:
            return tasks("a")
        if "the same call to `status`" in said(request) or "# Handoff: " in said(request):
            return turn(call("wait")) if "# Handoff: " not in said(request) else done()
        return STATUS

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        last = asked(w, "# Intent")[-1]
        assert len(status_answers(last)) == 3
        assert len(set(status_answers(last))) == 3, "ages differ each time"

    run(script, examine, shell=lambda workspace, command: simulated.Ran(0, "", 80.0))


def test_status_names_what_a_task_waits_for_and_what_is_held_because_that_failed() -> None:
    order = {"first": [], "second": ["first"], "third": ["second"], "other": []}
    spawn = call("spawn_tasks", tasks=[{"title": t, "goal": t, "after": after} for t, after in order.items()])

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading == "# Task: first":
            return turn(call("submit_handoff", status="failed", summary="it cannot be done"))
        if heading == "# Task: other":
            return worker(request) if turns(request) else turn(call("shell", command="make", timeout_s=90))
        if turns(request) == 0:
            return turn(spawn, call("status"))
        if "# Handoff: first" not in said(request):
            return turn(call("wait"))
        if len(status_answers(request)) < 2:
            return STATUS
        held = [line.split()[1] for line in status_answers(request)[1].splitlines() if ": held: " in line]
        if turns(request) < 5:
            return turn(*(call("cancel_task", task=task) for task in held), call("wait"))
        return done()

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        ids = {task.spec.title: id for id, task in swarm.snapshot.tasks.items()}
        before, after = status_answers(asked(w, "# Intent")[-1])
        assert f"- {ids['second']} second: queued after {ids['first']}, " in before
        lines = after.splitlines()
        assert lines[0] == "open (3):"
        decide = "(`amend_task` or `cancel_task`)"
        assert lines[1].startswith(f"- {ids['second']} second: held: after {ids['first']}, which failed {decide}, ")
        assert lines[2].startswith(f"- {ids['third']} third: held: after {ids['second']}, ")
        wake = statuses(asked(w, "# Intent")[-1])[0]
        assert f"\n- {ids['second']} second: held: after {ids['first']}, which failed " in wake

    run(script, examine, shell=lambda workspace, command: simulated.Ran(0, "", 60.0))


def test_a_planner_that_a_new_process_continues_is_told_the_state_of_its_work_first() -> None:
    """Also if no message has come: what it knew may be old."""

    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        if turns(request) < 4:
            return tasks("a") if turns(request) == 0 else turn(call("read_file", path="README.md"))
        return turn(call("wait")) if "# Handoff: " not in said(request) else done()

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        swarm = fresh(w, Settings(swarm=SwarmSettings(workers=0)))  # no handoff comes in between
        reads = [0]

        def crash(event: Event) -> None:
            reads[0] += isinstance(event.body, ToolFinished) and event.body.tool == "read_file"
            if reads[0] == 2:
                w.journal.crash_after(event.seq)

        swarm.on_change(crash)
        running = asyncio.ensure_future(swarm.run())
        failed = asyncio.ensure_future(w.power.failed.wait())
        await asyncio.wait({running, failed}, return_when=asyncio.FIRST_COMPLETED)
        await w.bury([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        w = w.restart()
        again = await resumed(w)
        running = asyncio.ensure_future(again.run())
        await until(again, lambda swarm: swarm.snapshot.agents[swarm.snapshot.root].steps == 4)
        await again.submit(SetWorkers(1))
        await running
        first = asked(w, "# Intent")[0]
        [status] = statuses(first)
        assert re.match(r"open:\n- t\w+ a: (queued|at work), \d+ s\ntrunk: ", status)
        assert first.messages[-1].text.endswith(status), "with the first turn of the new process"

    simulated.simulate(main)

"""Pathologies of planners and workers: each is recorded, first nudged, and later limited."""

import asyncio
import re

import pytest

from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.failure_signature import failure_in
from engine.domain.settings import PlannerSettings, RepoSettings, Settings, SwarmSettings
from engine.domain.types import AgentState, ModelName, Pathology, Remedy, TaskState
from engine.orchestrator.swarm import Swarm
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import fresh, resumed
from tests.simulated import Ran, answers, call, first_line, turn

Script = simulated.models.Script
ONE_WORKER = Settings(swarm=SwarmSettings(workers=1))


def seen(
    script: Script, settings: Settings | None = None, check: bool = False, **world: object
) -> tuple[Swarm, simulated.World, list[tuple[Pathology, Remedy, str]]]:
    """A whole run, and its pathologies: which one, the remedy, and the path of the agent."""
    found: list[tuple[Pathology, Remedy, str]] = []

    async def main(clock: simulated.SimulatedClock) -> tuple[Swarm, simulated.World]:
        w = simulated.world(clock, script, **world)  # type: ignore[arg-type]
        swarm = fresh(w, settings, check=check)

        def note(event: e.Event) -> None:
            if isinstance(event.body, e.PathologySeen) and event.agent is not None:
                found.append((event.body.pathology, event.body.remedy, swarm.snapshot.agents[event.agent].path))

        swarm.on_change(note)
        await swarm.run()
        return swarm, w

    swarm, w = simulated.simulate(main)
    return swarm, w, found


def of(found: list[tuple[Pathology, Remedy, str]], pathology: Pathology) -> list[Remedy]:
    return [remedy for what, remedy, _ in found if what is pathology]


def told(request: Request) -> list[str]:
    return [
        block.text for m in request.messages for block in m.blocks if isinstance(block, simulated.models.ToolAnswer)
    ]


def roots(w: simulated.World) -> list[Request]:
    return [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Intent")]


def worker(request: Request) -> Turn:
    return done() if turns(request) else writes(f"{first_line(request)[8:]}.txt", "x\n")


def test_a_planner_that_waits_for_nothing_is_nudged_then_restarted_and_finally_fails() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        return turn(call("wait"))

    swarm, _, found = seen(script)
    remedies = of(found, Pathology.SLEEPS)
    assert remedies[:4] == [Remedy.NUDGE, Remedy.NUDGE, Remedy.NUDGE, Remedy.LIMIT]
    assert remedies == remedies[:4] * 3, "each fresh context starts from zero, and there are two"
    assert swarm.snapshot.agents[swarm.snapshot.root].state is AgentState.FAILED


def test_waiting_for_a_task_or_a_message_is_no_pathology() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        return planner_of("a", "b")(request) if first_line(request).startswith("# Intent") else worker(request)

    assert seen(script)[2] == []


def test_a_planner_that_changes_files_is_nudged_then_may_run_no_commands_until_its_next_message() -> None:
    def shell(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
        if command.startswith("edit "):
            workspace.files[command.removeprefix("edit ")] = b"mine\n"
        return Ran(0, "ok\n")

    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        at = turns(request)
        if at < 6:
            return turn(call("shell", command=f"edit {at}.py"))
        if at == 6:
            return tasks("a")
        if "# Handoff: " not in said(request):
            return turn(call("wait"))
        return turn(call("shell", command="git log")) if not told(request)[-1].startswith("exit") else done()

    _, w, found = seen(script, shell=shell)
    assert of(found, Pathology.DOES_THE_WORK) == [*[Remedy.NUDGE] * 3, Remedy.LIMIT]
    said_to_it = told(roots(w)[-1])
    assert "you changed 0.py; nothing you change is kept" in said_to_it[0]
    assert said_to_it[4].startswith("you keep changing files")
    assert said_to_it[-1].startswith("exit 0"), "it may run commands again after its next message"
    assert set(w.trunk.files) == {"README.md", "src/app.py", "a.txt"}


def test_a_planner_may_run_commands_that_change_nothing() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        return turn(call("shell", command=f"grep {turns(request)}")) if turns(request) < 9 else done()

    assert seen(script)[2] == []


def test_spawning_one_task_after_another_is_nudged_then_refused_once() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        queued = sum("queued: " in text and not text.startswith("not") for text in told(request))
        heard = said(request).count("# Handoff: ")
        if queued > heard:
            return turn(call("wait"))
        return done() if queued == 7 else tasks(f"step {queued}")

    swarm, w, found = seen(script)
    assert of(found, Pathology.ONE_AT_A_TIME) == [
        *[Remedy.NUDGE] * 3,
        Remedy.LIMIT,
        Remedy.NUDGE,
        Remedy.LIMIT,
        Remedy.NUDGE,
    ]
    assert sum(text.startswith("not queued: 6 tasks in a row") for text in told(roots(w)[-1])) == 1
    assert swarm.snapshot.task_counts[TaskState.LANDED] == 7, (
        "a plan that really consists of one task after another is carried out"
    )


def test_handing_off_with_open_work_is_refused_each_time_and_finally_restarts_the_planner() -> None:
    async def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            if "## Status" in said(request):
                return done() if "# Handoff: a" in said(request) else turn(call("wait"))
            return tasks("a") if turns(request) == 0 else done()
        return worker(request) if turns(request) > 3 else turn(call("shell", command=f"look {turns(request)}"))

    swarm, _, found = seen(script, shell=lambda workspace, command: Ran(0, "", 100.0))
    assert of(found, Pathology.CLAIMS_COMPLETION) == [*[Remedy.NUDGE] * 3, Remedy.LIMIT]
    assert swarm.snapshot.exit_status == ExitStatus.DONE


def test_handing_off_done_while_the_check_fails_is_refused_and_finally_becomes_partial() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("a")(request)
        return done("nothing to mend") if first_line(request).startswith("# Repair") else worker(request)

    settings = Settings(repo=RepoSettings(fixups=1, check_landings=1))
    swarm, _w, found = seen(script, settings, check=True, verdict=lambda files: "a.txt" not in files)
    assert of(found, Pathology.CLAIMS_COMPLETION) == [*[Remedy.NUDGE] * 3, Remedy.LIMIT]
    last = [h for h in swarm.snapshot.handoffs.values() if h.agent == swarm.snapshot.root][-1]
    assert (last.text.status, last.text.concerns) == ("partial", "The check fails on trunk.")
    assert swarm.snapshot.exit_status == ExitStatus.NOT_GREEN


def test_a_planner_whose_tasks_land_nothing_is_nudged_and_then_has_to_change_its_plan() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request) if "works" in first_line(request) else done("nothing to do")
        at, answered = turns(request), told(request)
        if answered and answered[-1].startswith("not queued: none of"):
            return turn(call("rewrite_scratchpad", text="smaller steps", pivot="the tasks were too large"))
        if answered and answered[-1] == "saved":
            return tasks("works 1", "works 2")
        asked = sum(text.count("\nqueued: ") + text.startswith("queued: ") for text in answered)
        if said(request).count("# Handoff: ") < asked:
            return turn(call("wait"))
        return done() if any("works 1" in text for text in answered) else tasks(f"{at} a", f"{at} b")

    swarm, w, found = seen(script)
    assert of(found, Pathology.NEVER_MERGES) == [Remedy.NUDGE, Remedy.LIMIT, Remedy.LIMIT]
    assert "None of your last 5 tasks landed anything" in said(roots(w)[-1])
    assert swarm.snapshot.exit_status == ExitStatus.DONE
    assert "works 2.txt" in w.trunk.files


@pytest.mark.parametrize(
    "limits", [PlannerSettings(max_open_tasks=10), PlannerSettings(max_tasks_per_hour=10)], ids=["at once", "an hour"]
)
def test_spawning_too_many_tasks_is_nudged_near_the_limit_and_refused_at_it(limits: PlannerSettings) -> None:
    async def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            await asyncio.sleep(60)
            return worker(request)
        if turns(request) < 4:
            return tasks(*(f"{turns(request)}-{n}" for n in range(3)))
        return done() if said(request).count("# Handoff: ") == 9 else turn(call("wait"))

    settings = Settings(planner=limits, swarm=SwarmSettings(workers=1))
    swarm, w, found = seen(script, settings)
    assert of(found, Pathology.SPAWNS_WITHOUT_END) == [Remedy.NUDGE, Remedy.LIMIT]
    assert len(swarm.snapshot.tasks) == 9
    assert any(
        text.startswith(("not queued: this makes 12 open tasks,", "not queued: this makes 12 tasks in an hour,"))
        for text in told(roots(w)[-1])
    )


def test_spawning_subplanners_too_deep_is_refused_and_recorded() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if turns(request) == 0:
            return turn(call("spawn_subplanner", title="deeper", goal="own it"))
        if answers(request) and answers(request)[0].startswith("subplanners may be"):
            return done()
        return done() if "# Handoff: " in said(request) else turn(call("wait"))

    swarm, _, found = seen(script, Settings(swarm=SwarmSettings(max_depth=2)))
    assert of(found, Pathology.SPAWNS_WITHOUT_END) == [Remedy.NUDGE]
    assert max(path.count("/") for path in swarm.snapshot.paths) == 2


def sliced(goal_scope: str, task_scope: str, path: str, *, other: str = "", names: tuple[str, ...] = ("a",)) -> Script:
    """A slice whose worker changes `path`; with `other`, a second one that stays at work as long."""

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            slices = {"left": goal_scope, **({"right": other} if other else {})}
            if turns(request) == 0:
                return turn(*(call("spawn_subplanner", title=t, goal="own it", scope=s) for t, s in slices.items()))
            handed_off = all(f"# Handoff: {title}" in said(request) for title in slices)
            return done() if handed_off else turn(call("wait"))
        if heading == "# Slice: right":
            if turns(request) == 0:
                return tasks("r")
            return done() if "# Handoff: r" in said(request) else turn(call("wait"))
        if heading.startswith("# Slice"):
            if turns(request) == 0:
                return tasks(*names, scope=task_scope)
            return done() if said(request).count("# Handoff: ") == len(names) else turn(call("wait"))
        if heading == "# Task: r":
            return done() if turns(request) else turn(call("shell", command="sleep", timeout_s=900))
        at = path.format(heading.rpartition(" ")[2])
        return done() if turns(request) else writes(at, "x\n")

    return script


def test_a_change_in_a_slice_that_another_planner_is_at_is_told_the_planner_above_both_once() -> None:
    def shell(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
        return Ran(0, "", 600.0)

    script = sliced("left/**", "left/a.txt", "right/{}.txt", other="right/**", names=("a", "b", "c"))
    _, w, found = seen(script, shell=shell)
    assert of(found, Pathology.LEAVES_SCOPE) == [Remedy.TOLD] * 4
    told_root = said(roots(w)[-1])
    assert told_root.count("# Notice") == 1
    assert re.search('of the slice "right", which is not done yet:\n\n- `?right/[abc].txt', told_root)


def test_a_change_outside_a_slice_that_nobody_else_is_at_is_no_news_to_the_planner_above() -> None:
    _, w, _ = seen(sliced("left/**", "left/a.txt", "CHANGELOG.md"))
    assert "# Notice" not in said(roots(w)[-1])


def test_a_change_outside_a_task_but_in_its_planners_scope_is_reported_only_in_the_handoff() -> None:
    _, w, found = seen(sliced("left/**", "left/a.txt", "left/b.txt"))
    assert found == [(Pathology.LEAVES_SCOPE, Remedy.TOLD, "root/left/w-1")]
    assert "# Notice" not in said(roots(w)[-1])
    slices = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Slice")]
    assert "Changed outside the scope (left/a.txt): left/b.txt" in said(slices[-1])


def test_a_failure_that_many_agents_meet_is_reported_once_to_the_planner_above_all_of_them() -> None:
    names = [f"{side} {n}" for side in ("left", "right") for n in range(3)]

    def shell(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
        return Ran(
            2, f"compiling\nsrc/x.c:{len(workspace.commands)}: fatal error: zlib.h: No such file\n1 failed in 0.1s\n"
        )

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return turn(*(call("spawn_subplanner", title=side, goal="own it") for side in ("left", "right")))
            return done() if said(request).count("# Handoff: ") == 2 else turn(call("wait"))
        if heading.startswith("# Slice: "):
            return planner_of(*(name for name in names if name.startswith(heading[9:])))(request)
        return turn(call("shell", command="make")) if turns(request) < 2 else done()

    _, w, found = seen(script, shell=shell)
    assert found.count((Pathology.PILES_UP, Remedy.TOLD, "root")) == 1
    assert "4 agents below you have hit the same failure" in said(roots(w)[-1])
    assert "> src/x.c:N: fatal error: zlib.h: No such file" in said(roots(w)[-1])


def test_the_count_of_agents_that_met_a_failure_survives_a_restart() -> None:
    """Two agents meet it in the process that is killed, two more in the next one: together that is enough."""
    met = [0]

    def shell(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
        met[0] += 1
        return Ran(2, "fatal error: zlib.h: No such file\n", 60.0 * met[0])

    plan = planner_of("a", "b", "c", "d")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return done() if turns(request) else turn(call("shell", command="make", timeout_s=900))

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script, shell=shell)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: len(s.snapshot.failures.get("fatal error: zlib.h: No such file", ())) == 2)
        await swarm.durable(swarm.snapshot.seq)
        w.crash()
        running.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        w = w.restart()
        again = await resumed(w)
        assert (await again.run()).status is ExitStatus.DONE
        found = [event.body for event in w.journal.surviving() if isinstance(event.body, e.PathologySeen)]
        assert [(body.pathology, body.remedy) for body in found] == [(Pathology.PILES_UP, Remedy.TOLD)]
        assert "4 agents below you have hit the same failure" in said(roots(w)[-1])

    simulated.simulate(main)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ("exit 0 after 1.0 s\nerror: none at all", ""),
        ("exit 1 after 1.0 s\nnothing telling", ""),
        (
            "exit 1 after 0.1 s\n/ws/a/b.py:12: ImportError: no module 'x' at 0x7f12\n3 failed, 2 passed in 1.22s",
            "a/b.py:N: ImportError: no module 'x' at H",
        ),
        ("exit 2 after 1 s\ncc: error: x.c: No such file\nmake: *** [a:3: a] Error 1", "cc: error: x.c: No such file"),
        ("killed: timeout after 60.0 s\n", "timeout"),
    ],
)  # fmt: skip
def test_failures_are_compared_without_what_differs_between_two_runs_of_a_command(answer: str, failure: str) -> None:
    assert failure_in(answer) == failure

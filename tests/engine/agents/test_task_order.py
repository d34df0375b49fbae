"""Tasks that come after other tasks: when they start, and what becomes of them when one of those does not land."""

import asyncio

from engine.domain import events as e
from engine.domain.commands import Cancel
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import BudgetSettings, Settings, SwarmSettings
from engine.domain.types import AgentPath, ModelName, TaskState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.records import answered, failing, kinds, planner_was_told, states, titled
from tests.engine.scripts import Step, done, id_of, root_that, says, spawns, turns, writes
from tests.engine.steering import a_minute, until
from tests.engine.swarms import fresh, resumed, run
from tests.simulated import World, call, first_line, turn

MANY = Settings(swarm=SwarmSettings(workers=8))


def test_a_task_starts_once_all_that_it_comes_after_have_landed_and_sees_them() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        s = swarm.snapshot
        assert s.task_counts[TaskState.LANDED] == 3, answered(w, "spawn_tasks")
        last = kinds(w, e.TaskStarted, "c", s)[0].seq
        assert all(kinds(w, e.TaskEnded, title, s)[0].seq < last for title in "ab")
        (worker,) = [agent.id for agent in s.agents.values() if agent.title == "c"]
        copy = w.workspaces.opened[worker][0]
        assert {"a.txt", "b.txt"} <= set(w.commits.made[copy.base].files), "its copy has what it comes after"
        (opening,) = {
            text for asked in w.models.asked if (text := asked.request.messages[0].text).startswith("# Task: c")
        }
        assert "## What this builds on" in opening
        assert all(f"\n\n{title}\n> summary: it is done\n" in opening for title in "ab"), opening

    run(root_that(spawns({"title": "c", "after": ["a", " b  "]}, "a", "b")), examine, settings=MANY)


def test_what_holds_for_all_tasks_of_a_call_is_added_to_each_goal() -> None:
    def spawn(request: Request) -> Turn:
        return turn(call("spawn_tasks", tasks=[{"title": t, "goal": f"do {t}"} for t in "ab"], constraints="Be brief."))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        goals = [task.spec.goal for task in swarm.snapshot.tasks.values()]
        assert goals == ["do a\n\nBe brief.", "do b\n\nBe brief."]

    run(root_that(spawn), examine)


def test_a_task_may_come_after_earlier_tasks_by_id_and_after_those_that_have_landed() -> None:
    def later(request: Request) -> Turn:
        return spawns({"title": "b", "after": [id_of(request, "a")]}, {"title": "c", "after": ["a", "b"]})(request)

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert states(swarm.snapshot) == dict.fromkeys("abc", TaskState.LANDED), answered(w, "spawn_tasks")

    run(root_that(spawns("a"), says("wait"), later), examine)


def test_a_title_that_is_cut_still_names_its_task_and_its_slice() -> None:
    title = "x" * 119 + "  y and more"
    shown = "x" * 119

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        cancelled = [*answered(w, "cancel_task"), *answered(w, "cancel_subplanner")]
        assert [text.startswith(f"cancelled: {shown}") for text in cancelled] == [True, True], cancelled

    steps = (
        lambda request: turn(
            call("spawn_tasks", tasks=[{"title": title, "goal": "do it"}]),
            call("spawn_subplanner", title=title, goal="own it"),
        ),
        lambda request: turn(call("cancel_task", task=shown), call("cancel_subplanner", subplanner=title)),
    )
    script = root_that(*steps)

    def run_all(model: ModelName, request: Request) -> Turn:
        return turn(call("shell", command="x")) if first_line(request).startswith("# Slice") else script(model, request)

    run(run_all, examine, shell=a_minute)


def test_names_that_are_unknown_or_ambiguous_or_in_a_circle_refuse_the_whole_call() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        unknown, twice, circle, itself, good = answered(w, "spawn_tasks")
        assert "no task `parser`" in unknown
        assert "`x` (in this call), `y` (in this call)" in unknown, "it lists what exists"
        assert "2 tasks are called `y`" in twice
        assert "circle: x → y → z → x" in circle
        assert "circle: x → x" in itself
        assert good.startswith("queued: ")
        assert set(states(swarm.snapshot)) == {"x"}, "a refused call queues nothing"

    steps = (
        spawns("x", {"title": "y", "after": ["parser"]}),
        spawns("y", "y", {"title": "z", "after": ["y"]}),
        spawns(*({"title": title, "after": [after]} for title, after in zip("xyz", "yzx", strict=True))),
        spawns({"title": "x", "after": ["x"]}),
        spawns("x"),
    )
    run(root_that(*steps), examine)


def test_a_failure_holds_what_waits_for_it_and_the_planner_decides() -> None:
    """One message names all that is held. One task is released and another cancelled; the third follows by itself."""

    def decide(request: Request) -> Turn:
        again = call("spawn_tasks", tasks=[{"title": "a", "goal": "do a", "replaces": id_of(request, "fail")}])
        return turn(again, call("cancel_task", task=id_of(request, "moot")), call("wait"))

    def release(request: Request) -> Turn:
        return turn(call("amend_task", task=id_of(request, "b"), after=["a"]), call("wait"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        landed, cancelled = TaskState.LANDED, TaskState.CANCELLED
        expected = {"fail": TaskState.FAILED, "a": landed, "b": landed, "c": landed, "moot": cancelled}
        assert states(swarm.snapshot) == expected, answered(w, "amend_task")
        held = [m for m in planner_was_told(w).split("\n# ") if m.startswith("Held")]
        assert len(held) == 1, held
        b, c, moot = (titled(swarm.snapshot, title).id for title in ("b", "c", "moot"))
        assert all(f"{id}" in held[0] for id in (b, c, moot))
        assert "amend_task" in held[0]
        assert "cancel_task" in held[0]
        assert len(kinds(w, e.TaskHeld)) == 3
        assert f"released: {b} b, {c} c" in answered(w, "amend_task")[0]

    first = spawns(
        "fail", {"title": "b", "after": ["fail"]}, {"title": "c", "after": ["b"]}, {"title": "moot", "after": ["fail"]}
    )
    steps = (first, says("wait"), decide, release)
    run(root_that(*steps, worker=failing), examine, settings=MANY)


def test_nobody_waits_or_hands_off_while_only_held_tasks_are_open() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        waits = answered(w, "wait")
        assert any("held" in text and "amend_task" in text for text in waits), waits
        assert any("held: 1" in text for text in answered(w, "submit_handoff"))
        assert outcome.status is ExitStatus.DONE
        assert states(swarm.snapshot)["b"] is TaskState.CANCELLED

    steps = (
        spawns("fail", {"title": "b", "after": ["fail"]}),
        says("wait"),
        says("wait"),
        lambda request: done(),
        lambda request: turn(call("cancel_task", task=id_of(request, "b"))),
    )
    run(root_that(*steps, worker=failing), examine)


def test_a_partial_handoff_that_landed_and_a_task_without_a_change_let_others_start() -> None:
    def worker(request: Request) -> Turn:
        title = first_line(request).partition(": ")[2]
        if title == "part" and turns(request):
            return turn(call("submit_handoff", status="partial", summary="half of it"))
        return done() if turns(request) or title == "nothing" else writes(f"{title}.txt", "x\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        landed = TaskState.LANDED
        assert states(swarm.snapshot) == {"part": landed, "nothing": TaskState.UNCHANGED, "then": landed}
        assert not kinds(w, e.TaskHeld)

    run(root_that(spawns("part", "nothing", {"title": "then", "after": ["part", "nothing"]}), worker=worker), examine)


def test_what_has_failed_cannot_be_waited_for() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        refused = answered(w, "spawn_tasks")[1]
        assert "`fail` (t00000003) has failed" in refused
        assert "replaces" in refused
        assert set(states(swarm.snapshot)) == {"fail"}

    steps = (spawns("fail"), says("wait"), spawns({"title": "b", "after": ["fail"]}))
    run(root_that(*steps, worker=failing), examine)


def test_a_task_of_high_priority_lifts_what_it_waits_for() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        s = swarm.snapshot
        started = [s.tasks[event.task].spec.title for event in kinds(w, e.TaskStarted)]  # type: ignore[index]
        assert started == ["a", "urgent", "plain"]

    asked = spawns({"title": "plain", "priority": 1}, "a", {"title": "urgent", "after": ["a"], "priority": 5})
    run(root_that(asked), examine, settings=Settings(swarm=SwarmSettings(workers=1)))


def test_a_held_task_survives_a_kill_and_its_planner_is_told_once() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, root_that(spawns("fail", {"title": "b", "after": ["fail"]}), worker=failing))
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.task_counts[TaskState.FAILED] == 1)
        w.crash()
        running.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        w = w.restart()

        def decide(request: Request) -> Turn:
            return turn(call("cancel_task", task=id_of(request, "b")))

        w.models.script = root_that(spawns("fail"), says("wait"), decide, worker=failing)
        again = await resumed(w)
        assert (await again.run()).status is ExitStatus.DONE
        told = [m for m in kinds(w, e.MessageQueued) if m.body.message.text.startswith("# Held")]  # type: ignore[union-attr]
        assert len(told) == 1

    simulated.simulate(main)


def test_held_tasks_do_not_keep_a_run_alive_whose_budget_is_used_up() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.BUDGET

    steps = [spawns("fail", {"title": "b", "after": ["fail"]}), says("wait"), *[says("list_files")] * 30]
    run(root_that(*steps, worker=failing), examine, settings=Settings(budget=BudgetSettings(steps=12)))


# --- cancelling ----------------------------------------------------------------------------------------------


def test_a_planners_own_cancellation_neither_wakes_it_nor_reads_failed() -> None:
    def worker(request: Request) -> Turn:
        title = first_line(request).partition(": ")[2]
        if title == "slow" and turns(request) == 0:
            return turn(call("shell", command="make", timeout_s=90))
        return done() if turns(request) else writes(f"{title}.txt", "x\n")

    def cancels(title: str) -> Step:
        return lambda request: turn(call("cancel_task", task=id_of(request, title)))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        answer, _ = answered(w, "cancel_task")
        assert answer.startswith("cancelled: slow")
        told = planner_was_told(w)
        assert "# Handoff: slow" not in told
        assert titled(swarm.snapshot, "b").id in answer, "the answer names what waits for it"
        assert "# Held" not in told
        assert "# Handoff: other" in told
        assert outcome.status is ExitStatus.DONE

    first = spawns("slow", "other", {"title": "b", "after": ["slow"]})
    steps = (first, says("wait"), cancels("slow"), cancels("b"))
    run(root_that(*steps, worker=worker), examine, settings=MANY, shell=a_minute)


def test_a_persons_cancellation_tells_the_planner_as_cancelled() -> None:
    def worker(request: Request) -> Turn:
        return turn(call("read_file", path=f"{turns(request)}.txt"))

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, root_that(spawns("a"), worker=worker))
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.task_counts[TaskState.WORKING] == 1)
        await swarm.submit(Cancel(AgentPath("root/w-1"), "not needed"))
        await running
        told = planner_was_told(w)
        assert "# Handoff: a\n\nfrom: task" in told
        assert "status: cancelled" in told
        assert "status: failed" not in told

    simulated.simulate(main)

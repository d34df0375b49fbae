"""Two things happen at once: no landing stops halfway, no wake-up is lost, and the run does not end by it."""

import asyncio
import re

import pytest

from engine.domain.commands import Cancel, Pause, Resume, Steer, Stop
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import SandboxSettings, Settings, TaskSettings
from engine.domain.types import AgentPath, AgentState, CommitId, ModelName, Role, RunState, TaskState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.ports.protocols import WorkspaceLost
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.steering import kind, landing_script, steered
from tests.engine.swarms import fresh, resumed, run
from tests.simulated import Ran, World, answers, call, first_line, turn

WORKER = AgentPath("root/w-1")


def test_a_task_cancelled_while_its_change_is_committed_is_cancelled_and_the_run_continues() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, landing_script(["a", "b"]))
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        worker = None
        while worker is None or not w.workspaces.opened.get(worker):
            await clock.sleep(0.01)
            worker = swarm.snapshot.paths.get(WORKER)
        [copy] = w.workspaces.opened[worker]
        committing, go_on = asyncio.Event(), asyncio.Event()
        commit = copy.commit

        async def slow_commit(message: str) -> CommitId:
            committing.set()
            await go_on.wait()
            return await commit(message)

        copy.commit = slow_commit  # type: ignore[method-assign]
        await committing.wait()
        await swarm.submit(Cancel(WORKER, "no longer needed"))
        await clock.sleep(1)
        go_on.set()
        outcome = await running
        assert outcome.status is ExitStatus.DONE, outcome
        counts = swarm.snapshot.task_counts
        assert (counts[TaskState.CANCELLED], counts[TaskState.LANDED]) == (1, 1)
        assert all(agent.ended for agent in swarm.snapshot.agents.values())
        assert swarm.snapshot.handoff_count == 3, "its planner got a handoff"

    simulated.simulate(main)


def colliding(model: ModelName, request: Request) -> Turn:
    """Two workers collide. The one with the conflict leaves the markers in, so that a resolver takes over."""
    heading = first_line(request)
    if heading.startswith("# Intent"):
        return planner_of("left", "right")(request)
    name = heading.partition(": ")[2]
    if heading.startswith("# Conflict: "):
        return done() if turns(request) else writes("src/app.py", "print('both')\n")
    return done() if turns(request) else writes("src/app.py", f"print('{name}')\n")


def test_a_resolved_landing_that_is_cancelled_halfway_counts_as_landed() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, colliding)
        swarm = fresh(w)
        cancelled: list[asyncio.Task[None]] = []

        def before_swap() -> None:
            resolver = next((a for a in swarm.snapshot.agents.values() if a.role is Role.RESOLVER), None)
            if resolver is not None and not cancelled:
                task = swarm.snapshot.tasks[resolver.task]
                worker = swarm.snapshot.agents[task.agent]
                cancelled.append(asyncio.ensure_future(swarm.submit(Cancel(worker.path, "too late"))))

        w.trunk.before_swap = before_swap
        outcome = await swarm.run()
        assert cancelled
        assert outcome.status is ExitStatus.DONE, outcome
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 2
        assert w.trunk.files["src/app.py"] == b"print('both')\n"
        assert swarm.snapshot.handoff_count == 3
        assert all(agent.ended for agent in swarm.snapshot.agents.values())

    simulated.simulate(main)


def test_a_resolver_ends_with_its_attempt_at_the_time_limit() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Conflict: "):
            return turn(call("read_file", path="src/app.py"), text=str(turns(request)))
        return colliding(model, request)

    async def main(clock: simulated.SimulatedClock) -> None:
        async def slowly(model: ModelName, request: Request) -> Turn:
            if first_line(request).startswith("# Conflict: "):
                await clock.sleep(3_000)
            return script(model, request)

        w = simulated.world(clock, slowly)
        swarm = fresh(w, Settings(task=TaskSettings(timeout="30m", attempts=1)))
        outcome = await swarm.run()
        assert outcome.status is ExitStatus.DONE, outcome
        assert swarm.snapshot.task_counts[TaskState.FAILED] == 1
        assert all(agent.ended for agent in swarm.snapshot.agents.values())

    simulated.simulate(main)


def test_a_pause_longer_than_a_tasks_time_limit_fails_no_attempt() -> None:
    async def act(swarm: Swarm) -> None:
        await swarm.submit(Pause())
        await swarm.clock.sleep(7_200)
        await swarm.submit(Resume())

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 2
        assert [task.failures for task in swarm.snapshot.tasks.values()] == [0, 0]

    settings = Settings(task=TaskSettings(timeout="45m", attempts=1))
    steered(landing_script(["a", "b"]), kind("task_started"), act, examine, settings)


@pytest.mark.parametrize(("starved_s", "ends"), [(3_000.0, TaskState.LANDED), (600.0, TaskState.FAILED)])
def test_time_without_a_cpu_does_not_count_towards_a_tasks_time_limit(starved_s: float, ends: TaskState) -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("a")(request)
        steps = [writes("a.txt", "x\n"), turn(call("shell", command="test")), done()]
        return steps[min(turns(request), len(steps) - 1)]

    async def main(clock: simulated.SimulatedClock) -> None:
        shell = Ran(wall_s=3_600.0, starved_s=starved_s)
        w = simulated.world(clock, script, shell=lambda workspace, command: shell)
        limits = Settings(task=TaskSettings(timeout="45m", attempts=1), sandbox=SandboxSettings(command_timeout="2h"))
        swarm = fresh(w, limits)
        assert (await swarm.run()).status is ExitStatus.DONE
        assert [task.state for task in swarm.snapshot.tasks.values()] == [ends]

    simulated.simulate(main)


def test_a_message_to_a_worker_that_is_just_landing_does_not_keep_the_run_from_ending() -> None:
    async def act(swarm: Swarm) -> None:
        await swarm.submit(Steer(WORKER, "one more thing"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 1

    steered(landing_script(["a"]), kind("landing_started"), act, examine)


def test_a_worker_must_read_its_messages_before_it_may_hand_off() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return planner_of("a")(request)
        if "one more thing" in said(request) and "more.txt" not in str(request.messages):
            return writes("more.txt", "x\n")
        return done() if turns(request) else writes("a.txt", "x\n")

    async def main(clock: simulated.SimulatedClock) -> None:
        told: list[asyncio.Task[None]] = []

        async def slowly(model: ModelName, request: Request) -> Turn:
            answer = script(model, request)
            if not first_line(request).startswith("# Intent") and turns(request) == 1 and not told:
                told.append(asyncio.ensure_future(swarm.submit(Steer(WORKER, "one more thing"))))
                await clock.sleep(1)
            return answer

        w = simulated.world(clock, slowly)
        swarm = fresh(w)
        outcome = await swarm.run()
        assert outcome.status is ExitStatus.DONE
        assert w.trunk.files["more.txt"] == b"x\n"

    simulated.simulate(main)


def test_a_stop_does_not_wait_for_the_last_check() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, landing_script(["a"]))
        swarm = fresh(w, check=True)
        checking = asyncio.Event()
        check = w.checker.check

        async def slow_check(commit: CommitId, *, clean: bool = False) -> object:
            checking.set()
            await clock.sleep(86_400)
            return await check(commit)

        w.checker.check = slow_check  # type: ignore[method-assign, assignment]
        running = asyncio.ensure_future(swarm.run())
        await checking.wait()
        since = clock.monotonic()
        await swarm.submit(Stop("enough"))
        outcome = await running
        assert outcome.state is RunState.STOPPED
        assert clock.monotonic() - since < 60

    simulated.simulate(main)


def test_a_planner_gets_the_handoff_of_a_cancelled_task_even_if_the_program_died_in_between() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        async def slowly(model: ModelName, request: Request) -> Turn:
            if first_line(request).startswith("# Task: "):
                await clock.sleep(3_000)
            return script(model, request)

        script = landing_script(["a"])
        w = simulated.world(clock, slowly)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        while _states(swarm) != {"root": AgentState.WAITING, "root/w-1": AgentState.THINKING}:
            await clock.sleep(1)
        swarm.on_change(lambda event: w.journal.crash_after(event.seq) if event.kind == "task_ended" else None)
        cancelling = asyncio.ensure_future(swarm.submit(Cancel(WORKER, "enough")))
        await w.power.failed.wait()
        while not (running.done() and cancelling.done()):  # closing a workspace waits for power, too
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
        w = w.restart()
        assert w.journal.surviving()[-1].kind == "task_ended"
        swarm = await resumed(w)
        outcome = await swarm.run()
        assert outcome.status is ExitStatus.DONE, outcome
        assert [handoff.by_engine for handoff in swarm.snapshot.handoffs.values()] == [True, False]

    simulated.simulate(main)


def test_a_planner_gets_the_handoff_of_a_task_cancelled_between_two_attempts() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Task: "):
            return turn(
                text="I will not"
            )  # after four such turns the attempt fails, and the next one waits for its backoff
        return landing_script(["a"])(model, request)  # type: ignore[return-value]

    async def act(swarm: Swarm) -> None:
        await swarm.submit(Cancel(WORKER, "enough"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.CANCELLED] == 1
        assert swarm.snapshot.handoff_count == 2

    steered(script, kind("task_requeued"), act, examine)


def test_a_subplanner_titled_like_a_worker_takes_no_workers_path() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent") and turns(request) == 0:
            return turn(call("spawn_subplanner", title="W 1", goal="own it"), *tasks("a").message.calls)
        if heading.startswith("# Intent"):
            return done() if said(request).count("# Handoff: ") == 2 else turn(call("wait"))
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert len(swarm.snapshot.paths) == len(swarm.snapshot.agents) == 3

    run(script, examine)


def test_a_check_that_kills_its_own_sandbox_has_failed_and_the_run_continues() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, landing_script(["a"]))
        swarm = fresh(w, check=True)

        async def dies(commit: CommitId, *, clean: bool = False) -> object:
            raise WorkspaceLost("its sandbox ended")

        w.checker.check = dies  # type: ignore[method-assign, assignment]
        outcome = await swarm.run()
        assert outcome.state is RunState.FINISHED
        assert outcome.status is ExitStatus.NOT_GREEN
        assert "its sandbox ended" in swarm.snapshot.last_check.output

    simulated.simulate(main)


def test_a_second_signal_during_the_drain_leaves_no_agent_running() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        async def slowly(model: ModelName, request: Request) -> Turn:
            if first_line(request).startswith("# Task: "):
                await clock.sleep(3_000)
            return script(model, request)

        script = landing_script(["a", "b"])
        swarm = fresh(simulated.world(clock, slowly))
        running = asyncio.ensure_future(swarm.run())
        while list(_states(swarm).values()).count(AgentState.THINKING) != 2:
            await clock.sleep(1)
        await swarm.submit(Stop("first signal"))
        await clock.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert not swarm.supervisor.running
        assert all(task.failures == 0 for task in swarm.snapshot.tasks.values())

    simulated.simulate(main)


def test_a_restarted_planner_knows_its_open_and_its_ended_tasks() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Task: b") and turns(request):
            return turn(text="I think about it")
        if not heading.startswith("# Intent"):
            return landing_script([])(model, request)  # type: ignore[return-value]
        if turns(request) == 0 and "## Status" in said(request):
            return done(notes=said(request))
        if turns(request) == 0:
            return turn(call("rewrite_scratchpad", text="a first, then b"), *tasks("a", "b").message.calls)
        return turn(call("wait")) if said(request).count("# Handoff: ") < 1 else turn(text="lost my thread")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        opening = next(said(a.request) for a in w.models.asked if "## Status" in said(a.request))
        assert "## Your scratchpad\n\na first, then b" in opening
        status = opening.partition("## Status\n\n")[2]
        assert re.match(r"open \(1\):\n- t\w+ b: queued again after a failed attempt: 4 turns in a row called ", status)
        assert re.search(r"\n\nended, newest first \(1\):\n- t\w+ a: landed as \w{10}, 1 file, \+1 -0, ", status)
        assert len(swarm.snapshot.tasks) == 2, "no task was spawned twice"

    run(script, examine)


def test_a_planners_lost_workspace_is_replaced_and_does_not_end_the_run() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        def script(model: ModelName, request: Request) -> Turn:
            if first_line(request).startswith("# Intent") and answers(request)[:1] == ["woken"]:
                return turn(call("read_file", path="a.txt"))
            return landing_script(["a"])(model, request)  # type: ignore[return-value]

        w = simulated.world(clock, script)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        while _states(swarm).get("root") is not AgentState.WAITING:
            await clock.sleep(0.1)
        [copy] = w.workspaces.opened[swarm.snapshot.root]
        copy.lose()
        outcome = await running
        assert outcome.status is ExitStatus.DONE, outcome
        read = [answers(asked.request) for asked in w.models.asked if first_line(asked.request).startswith("# Intent")]
        assert ["1\tx"] in read, "its new workspace is on the newest trunk"

    simulated.simulate(main)


def _states(swarm: Swarm) -> dict[str, AgentState]:
    return {str(agent.path): agent.state for agent in swarm.snapshot.agents.values()}

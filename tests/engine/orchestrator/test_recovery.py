"""A run that is killed at any moment and resumed lands each task and delivers each handoff exactly once."""

import asyncio
import random
from collections import Counter

import pytest

from engine.domain import events as e
from engine.domain.commands import Cancel, Pause
from engine.domain.conversation import Request, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ExitStatus
from engine.domain.types import AgentId, AgentState, CallId, CommitId, LandingState, ModelName, TaskState
from engine.orchestrator.swarm import Swarm
from engine.ports.protocols import LandResult
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.swarms import fresh, resumed
from tests.simulated import answers, call, first_line, turn

TITLES = [f"task-{n}" for n in range(6)]


def script(model: ModelName, request: Request) -> Turn:
    """A root planner with a subplanner. All workers collide in one file and resolve the conflict."""
    heading = first_line(request)
    if heading.startswith("# Intent"):
        if turns(request) == 0:
            return turn(call("spawn_subplanner", title="Half", goal="own half"), call("rewrite_scratchpad", text="1"))
        if turns(request) == 1:
            return tasks(*TITLES[:3])
        if said(request).count("# Handoff: ") < 4:
            return turn(call("wait"))
        return done()
    if heading.startswith("# Slice"):
        return planner_of(*TITLES[3:])(request)
    name = heading.partition(": ")[2]
    if turns(request) == 0 and heading.startswith("# Conflict: "):
        return turn(call("read_file", path="src/app.py"))
    if turns(request) == 0:
        return writes(f"{name}.txt", f"{name}\n")
    if turns(request) == 1 and heading.startswith("# Task: "):
        return writes("src/app.py", f"print('{name}')\n")
    last = answers(request)[0]
    if last.startswith("conflict:"):
        return turn(call("read_file", path="src/app.py"))
    if "<<<<<<< trunk" in last:
        return writes("src/app.py", f"print('{name} and others')\n")
    return done(findings=name)


async def live(w: simulated.World, snapshot: Snapshot | None, crash_at: int | None) -> object:
    """Run to the end, or until power fails once event `crash_at` is durable. Returns the outcome, None if killed."""
    swarm = fresh(w) if snapshot is None else await resumed(w)
    if crash_at is not None:
        w.journal.crash_after(crash_at)
    running = asyncio.ensure_future(swarm.run())
    failed = asyncio.ensure_future(w.power.failed.wait())
    await asyncio.wait({running, failed}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        failed.cancel()
        return running.result()
    everyone = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in everyone:
        task.cancel()
    return None


@pytest.mark.parametrize("seed", range(50))
def test_a_killed_run_resumes_to_the_same_end(seed: int) -> None:
    draw = random.Random(seed)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script, seed=seed)
        outcome, snapshot, kills = await live(w, None, draw.randrange(5, 120)), None, 0
        while outcome is None:
            kills += 1
            assert kills < 20
            w = w.restart()
            snapshot = Snapshot()
            async for event in w.journal.events():
                fold(snapshot, event)
            at = snapshot.seq + draw.randrange(1, 90) if kills < 4 else None
            outcome = await live(w, snapshot, at)
        assert outcome.status is ExitStatus.DONE, outcome
        examine(w)

    def examine(w: simulated.World) -> None:
        end = Snapshot()
        for event in w.journal.surviving():
            fold(end, event)
        assert {task.state for task in end.tasks.values()} == {TaskState.LANDED}
        landed = [end.tasks[id].spec.title for id in end.tasks]
        assert sorted(landed) == TITLES, "no task is lost or spawned twice"
        commits = [w.commits.made[commit] for commit in history(w)]
        trailers = Counter(
            line for commit in commits for line in commit.message.splitlines() if line.startswith("Swarm-Task: ")
        )
        assert sorted(trailers) == sorted(f"Swarm-Task: {id}" for id in end.tasks)
        assert set(trailers.values()) == {1}, "each task has landed exactly once"
        assert all(w.trunk.files[f"{title}.txt"] for title in TITLES)
        assert Counter(h.task for h in end.handoffs.values() if h.task) == dict.fromkeys(end.tasks, 1)
        assert not any(end.inboxes.values()), "every message has been read"
        states = end.landing_counts
        assert states[LandingState.MERGED] + states[LandingState.RESOLVED] == len(TITLES)
        assert all(agent.state in (AgentState.DONE, AgentState.FAILED) for agent in end.agents.values())
        calls: dict[AgentId, tuple[ToolCall, ...]] = {}
        answers: dict[CallId, str] = {}
        for event in w.journal.surviving():
            if isinstance(event.body, e.TurnTaken) and event.agent is not None:
                calls[event.agent] = event.body.message.calls
            elif isinstance(event.body, e.ToolFinished):
                answers[event.body.call] = event.body.answer
        for agent in end.agents.values():
            if agent.state is AgentState.DONE and agent.task is not None:
                [told] = [answers.get(call.id, "") for call in calls[agent.id]]
                assert told.startswith("landed: "), f"{agent.path} was told {told!r}"

    simulated.simulate(main)


def test_an_unrecorded_landing_below_a_recorded_one_is_not_repeated() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lambda model, request: alone(request))
        swarm = fresh(w)
        land, swapped = w.trunk.land, asyncio.Event()

        async def overtaken(change: CommitId, message: str) -> LandResult:
            if not message.startswith("early"):
                await swapped.wait()
                return await land(change, message)
            result = await land(change, message)
            swapped.set()
            await w.power.needed()
            await w.power.failed.wait()
            await w.power.needed()
            return result

        w.trunk.land = overtaken  # type: ignore[method-assign]
        swarm.on_change(lambda event: w.journal.crash_after(event.seq + 1) if event.kind == "task_ended" else None)
        running = asyncio.ensure_future(swarm.run())
        await w.power.failed.wait()
        for task in {running, *asyncio.all_tasks()} - {asyncio.current_task()}:
            task.cancel()
        again = await resumed(w.restart())
        assert again.snapshot.task_counts[TaskState.LANDED] == 1
        assert (await again.run()).status is ExitStatus.DONE
        assert {task.spec.title: (task.state, task.attempt) for task in again.snapshot.tasks.values()} == {
            "early": (TaskState.LANDED, 1),
            "late": (TaskState.LANDED, 1),
        }
        assert again.snapshot.trunk == w.commits.tip

    plan = planner_of("early", "late")

    def alone(request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return done() if turns(request) else writes(f"{first_line(request)[8:]}.txt", "x\n")

    simulated.simulate(main)


def lone(model: ModelName, request: Request) -> Turn:
    """A root planner with one worker, which writes two files, runs a command and hands off."""
    if first_line(request).startswith("# Intent"):
        return planner_of("alone")(request)
    steps = (writes("a.txt", "a\n"), turn(call("shell", command="make")), writes("b.txt", "b\n"), done())
    return steps[turns(request)]


def assert_whole(request: Request) -> None:
    """A conversation that any provider takes: the roles alternate, and each call has its answer right after it."""
    roles = [message.role for message in request.messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    for spoken, told in zip(request.messages[1::2], request.messages[2::2], strict=True):
        assert [block.id for block in told.blocks if isinstance(block, ToolAnswer)] == [
            each.id for each in spoken.calls
        ]


async def restarted(w: simulated.World, swarm: Swarm, *, copies: bool = True) -> tuple[simulated.World, Swarm]:
    """Wait for the kill, then the next process in the world that is left."""
    running = asyncio.ensure_future(swarm.run())
    await w.power.failed.wait()
    for task in {running, *asyncio.all_tasks()} - {asyncio.current_task()}:
        task.cancel()
    w = w.restart(copies=copies)
    return w, await resumed(w)


@pytest.mark.parametrize("at", range(8, 40))
def test_a_worker_that_is_killed_at_any_event_continues_in_its_attempt(at: int) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        ran: list[str] = []

        def shell(workspace: simulated.MemoryWorkspace, command: str) -> str:
            ran.append(command)
            return "built"

        w = simulated.world(clock, lone, shell=shell)
        swarm = fresh(w)
        w.journal.crash_after(at)
        w, again = await restarted(w, swarm)
        assert (await again.run()).status is ExitStatus.DONE
        [task] = again.snapshot.tasks.values()
        assert (task.state, task.attempt) == (TaskState.LANDED, 1)
        assert {agent.state for agent in again.snapshot.agents.values()} == {AgentState.DONE}
        assert (w.trunk.files["a.txt"], w.trunk.files["b.txt"]) == (b"a\n", b"b\n")
        for asked in w.models.asked:
            assert_whole(asked.request)
        told = [answer for asked in w.models.asked for answer in answers(asked.request) if "interrupted" in answer]
        assert len(ran) <= 1 + len(told), "no command runs twice unless the agent knows that it may have run"

    simulated.simulate(main)


def test_after_a_power_failure_the_task_begins_again_in_a_new_copy() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lone)
        swarm = fresh(w)
        w.journal.crash_after(26)
        w, again = await restarted(w, swarm, copies=False)
        assert (await again.run()).status is ExitStatus.DONE
        [task] = again.snapshot.tasks.values()
        assert (task.state, task.attempt, task.failures) == (TaskState.LANDED, 2, 0)

    simulated.simulate(main)


def test_what_was_paused_stays_paused_after_a_kill_and_what_is_cancelled_then_is_handed_off() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lone)
        swarm = fresh(w)
        w.journal.crash_after(26)
        w, again = await restarted(w, swarm)
        [task] = again.snapshot.tasks.values()
        assert task.agent is not None
        worker = again.snapshot.agents[task.agent].path
        await again.submit(Pause(worker))
        running = asyncio.ensure_future(again.run())
        await clock.sleep(60)
        assert again.snapshot.agents[task.agent].state is AgentState.PAUSED
        assert again.snapshot.tasks[task.id].state is TaskState.WORKING
        await again.submit(Cancel(worker, "not wanted"))
        assert (await running).status is ExitStatus.DONE
        [handoff] = [handoff for handoff in again.snapshot.handoffs.values() if handoff.task]
        assert "Cancelled before it was done: not wanted" in handoff.text.summary

    simulated.simulate(main)


def history(w: simulated.World) -> list[str]:
    """Trunk's commits of the run, newest first."""
    commits, at = [], w.commits.tip
    while at != w.commits.base:
        commits.append(at)
        at = w.commits.made[at].parent
    return commits

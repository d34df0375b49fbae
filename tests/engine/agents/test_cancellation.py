"""Cancelling: a subtree ends as a whole, in one batch, with handoffs that say so."""

import asyncio

import pytest

from engine.domain.commands import Cancel, SubmitIntent
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.events import TaskUnwanted, ToolFinished
from engine.domain.types import AgentPath, AgentState, CommitId, ModelName, TaskState
from engine.ports.protocols import LandResult
from tests import simulated
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.engine.steering import FOUR_WORKERS, LEFT, a_minute, all_at_work, left_open, two_sides, until
from tests.engine.swarms import fresh, resumed
from tests.simulated import answers, call, first_line, turn


def moot_slice(model: ModelName, request: Request) -> Turn:
    """A root planner that cancels `left` when the intent changes. Below `left` are a task and a subplanner with one."""
    heading = first_line(request)
    if heading.startswith("# Intent"):
        if turns(request) == 0:
            return turn(call("spawn_subplanner", title="left", goal="own it"), *tasks("kept").message.calls)
        if "# Intent (version 2)" not in said(request):
            return turn(call("wait"))
        tried = [c for message in request.messages for c in message.calls if c.tool == "cancel_subplanner"]
        if len(tried) < 2:
            assert not tried or answers(request) == ["you have no subplanner lefft; your subplanners: left"]
            named = "left" if tried else "lefft"
            return turn(call("cancel_subplanner", subplanner=named, reason="version 2 wants none of it"))
        return done() if "# Handoff: kept" in said(request) else turn(call("wait"))
    if heading.startswith("# Slice: left"):
        deep = call("spawn_subplanner", title="deep", goal="own it")
        return turn(deep, *tasks("moot").message.calls) if turns(request) == 0 else turn(call("wait"))
    if heading.startswith("# Slice: deep"):
        return tasks("moot too") if turns(request) == 0 else turn(call("wait"))
    if turns(request) == 0:
        return turn(call("shell", command="make", timeout_s=90))
    return writes(f"{heading[8:]}.txt", "x\n") if turns(request) == 1 else done()


def test_a_planner_cancels_a_subplanner_with_everything_below_it() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, moot_slice, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.task_counts[TaskState.WORKING] == 3)
        await swarm.submit(SubmitIntent("Do less."))
        assert (await running).status is ExitStatus.DONE
        s = swarm.snapshot
        states = {task.spec.title: (task.state, task.cancelled_under) for task in s.tasks.values()}
        moot = (TaskState.CANCELLED, 2)
        assert states == {"kept": (TaskState.LANDED, 0), "moot": moot, "moot too": moot}
        gone = [agent for agent in s.agents.values() if agent.path.startswith(LEFT)]
        assert {agent.state for agent in gone} == {AgentState.CANCELLED}
        told = said(w.models.asked[-1].request)
        assert "# Handoff: left" not in told, "its planner did it, and the answer has said all"
        answers = [event.body.answer for event in w.journal.surviving() if isinstance(event.body, ToolFinished)]
        assert "cancelled: left (open tasks: 2); its landed tasks stay on trunk: 0" in answers
        assert set(w.trunk.files) >= {"kept.txt"}
        assert not {"moot.txt", "moot too.txt"} & set(w.trunk.files)

    simulated.simulate(main)


@pytest.mark.parametrize("path", [LEFT, AgentPath("root/left/w-1")])
def test_a_person_cancels_everything_in_one_batch(path: AgentPath) -> None:
    """A kill leaves all of it on disk, or nothing."""

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, two_sides, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, all_at_work)
        batches: list[int] = []
        append = w.journal.append
        w.journal.append = lambda events: (batches.append(len(events)), append(events))[1]  # type: ignore[method-assign]
        command = asyncio.ensure_future(swarm.submit(Cancel(path, "no longer")))
        await asyncio.sleep(0)
        assert len(batches) == 1
        await command
        assert (await running).status is ExitStatus.DONE

    simulated.simulate(main)


@pytest.mark.parametrize("path", [LEFT, AgentPath("root/left/w-1")])
def test_a_task_cancelled_while_it_lands_is_not_done_again_after_a_kill(path: AgentPath) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, two_sides, shell=a_minute)

        async def never(change: CommitId, message: str) -> LandResult:
            return await asyncio.get_running_loop().create_future()

        w.trunk.land = never  # type: ignore[method-assign]
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.task_counts[TaskState.LANDING] == 4)
        await swarm.submit(Cancel(path, "no longer"))
        unwanted = {task.spec.title for task in swarm.snapshot.tasks.values() if task.unwanted}
        assert unwanted <= {"left 1", "left 2"}
        assert len(unwanted) == (2 if path == LEFT else 1)
        assert any(isinstance(event.body, TaskUnwanted) for event in w.journal.surviving())
        w.crash()
        running.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        w = w.restart()
        again = await resumed(w, FOUR_WORKERS)
        assert (await again.run()).status is ExitStatus.DONE
        assert left_open(again.snapshot) == set()
        ended = {task.spec.title: task.state for task in again.snapshot.tasks.values()}
        assert {title for title, state in ended.items() if state is TaskState.CANCELLED} == unwanted
        told = [h.text.summary for h in again.snapshot.handoffs.values() if h.by_engine]
        assert set(told) == {"Cancelled before it was done: no longer"}

    simulated.simulate(main)

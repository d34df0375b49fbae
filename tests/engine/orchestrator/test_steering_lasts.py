"""A person's commands still apply after a kill, and freezing suspends commands and clocks without losing anything."""

import asyncio
from collections.abc import Callable

import pytest

from engine.domain.commands import (
    Cancel,
    Command,
    Pause,
    Rescope,
    Resume,
    SetModel,
    SetPriority,
    SetWorkers,
    Steer,
    SubmitIntent,
)
from engine.domain.errors import ExitStatus, SwarmError
from engine.domain.types import AgentPath, AgentState, ModelName, Role, RunState, TaskState
from engine.orchestrator.swarm import Swarm
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine.scripts import said
from tests.engine.steering import FOUR_WORKERS, LEFT, RIGHT, ROOT, a_minute, all_at_work, left_open, two_sides, until
from tests.engine.swarms import fresh, resumed
from tests.simulated import first_line

CASES: list[tuple[Command, Callable[[Snapshot], bool]]] = [
    (Pause(), lambda s: s.state in (RunState.PAUSING, RunState.PAUSED)),
    (Pause(LEFT), lambda s: s.is_paused(s.paths[LEFT]) and not s.is_paused(s.paths[RIGHT])),
    (Pause(LEFT, freeze=True), lambda s: s.is_frozen(s.paths[LEFT]) and s.is_paused(s.paths[LEFT])),
    (Pause(freeze=True), lambda s: s.is_frozen(s.paths[LEFT]) and s.is_frozen(s.paths[RIGHT])),
    (Steer(ROOT, "mind the gap"), lambda s: "mind the gap" in s.inboxes[s.paths[ROOT]][0].text),
    (Cancel(LEFT, "not wanted"), lambda s: s.agents[s.paths[LEFT]].state is AgentState.CANCELLED),
    (SubmitIntent("Do more."), lambda s: s.intents[-1].text == "Do more." and bool(s.inboxes[s.paths[ROOT]])),
    (SetWorkers(2), lambda s: s.workers_limit == 2),
    (SetWorkers(1, LEFT), lambda s: s.workers_below == {s.paths[LEFT]: 1}),
    (SetPriority(LEFT, 5), lambda s: s.agents[s.paths[LEFT]].priority == 5),
    (SetModel(ModelName("rehearsal:a"), LEFT), lambda s: s.agents[s.paths[LEFT]].model == "rehearsal:a"),
    (
        SetModel(ModelName("rehearsal:b"), role=Role.WORKER),
        lambda s: s.models[Role.WORKER] == "rehearsal:b" and s.models[Role.PLANNER] == "scripted:model",
    ),
    (SetModel(ModelName("rehearsal:c")), lambda s: set(s.models.values()) == {"rehearsal:c"}),
    (Rescope(LEFT, "own half of it", "half/**"), lambda s: s.agents[s.paths[LEFT]].scope == "half/**"),
]


@pytest.mark.parametrize(("command", "holds"), CASES, ids=lambda c: type(c).__name__ if isinstance(c, Command) else "")
def test_a_confirmed_command_still_applies_after_a_kill(command: Command, holds: Callable[[Snapshot], bool]) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, two_sides, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, all_at_work)
        await swarm.submit(command)
        w.crash()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # each would wait for ever, as a killed process has no effects

        w = w.restart()
        again = await resumed(w, FOUR_WORKERS)
        assert holds(again.snapshot)
        running = asyncio.ensure_future(again.run())
        if isinstance(command, Pause):
            await clock.sleep(7_200)
            assert holds(again.snapshot), "a pause lasts until somebody ends it"
            assert not running.done()
            held = {title for title in left_open(again.snapshot) if title.startswith("left")}
            assert held == {"left 1", "left 2"}
            if command.path is not None:
                assert again.snapshot.agents[again.snapshot.paths[RIGHT]].state is AgentState.DONE
            await again.submit(Resume(command.path))
        outcome = await running
        assert outcome.status is ExitStatus.DONE, outcome
        landed = 2 if isinstance(command, Cancel) else 4
        assert again.snapshot.task_counts[TaskState.LANDED] == landed
        if isinstance(command, Steer | SubmitIntent):
            root = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Intent")]
            assert said(root[0]).count("mind the gap" if isinstance(command, Steer) else "+Do more.") == 1

    simulated.simulate(main)


def at_work_below(swarm: Swarm, path: AgentPath) -> int:
    s = swarm.snapshot
    busy = [task for task in s.tasks.values() if task.state in (TaskState.WORKING, TaskState.LANDING)]
    return sum(s.agents[task.planner].path == path for task in busy)


def test_a_limit_on_workers_applies_only_below_its_planner_until_it_is_lifted() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        most = dict.fromkeys((LEFT, RIGHT), 0)
        w = simulated.world(clock, two_sides, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)

        def count(event: object) -> None:
            most.update({path: max(most[path], at_work_below(swarm, path)) for path in most})

        swarm.on_change(count)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: LEFT in s.snapshot.paths)
        await swarm.submit(SetWorkers(0, LEFT))
        await clock.sleep(3_600)
        assert (most[LEFT], swarm.snapshot.agents[swarm.snapshot.paths[RIGHT]].state) == (0, AgentState.DONE)
        await swarm.submit(SetWorkers(1, LEFT))
        await until(swarm, lambda s: s.snapshot.task_counts[TaskState.LANDED] == 3)
        await swarm.submit(SetWorkers(None, LEFT))
        assert swarm.snapshot.workers_below == {}
        assert (await running).status is ExitStatus.DONE
        assert most == {LEFT: 1, RIGHT: 2}

    simulated.simulate(main)


def test_only_planners_have_a_limit_on_workers_and_the_roots_is_that_of_the_run() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        swarm = fresh(simulated.world(clock, two_sides, shell=a_minute), FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, all_at_work)
        with pytest.raises(SwarmError, match="not a planner"):
            await swarm.submit(SetWorkers(1, AgentPath("root/left/w-1")))
        with pytest.raises(SwarmError, match="negative"):
            await swarm.submit(SetWorkers(-1, LEFT))
        with pytest.raises(SwarmError, match="needs a limit"):
            await swarm.submit(SetWorkers(None, ROOT))
        await swarm.submit(SetWorkers(3, ROOT))
        assert (swarm.snapshot.workers_limit, swarm.snapshot.workers_below) == (3, {})
        await running

    simulated.simulate(main)


@pytest.mark.parametrize("path", [LEFT, None], ids=["a subtree", "the run"])
def test_frozen_commands_and_their_clocks_stop_and_later_continue(path: AgentPath | None) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, two_sides, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, all_at_work)
        await clock.sleep(1.0)  # until their commands run, whose start is on disk first
        await swarm.submit(Pause(path, freeze=True))
        workers = [agent for agent in swarm.snapshot.agents.values() if agent.role is Role.WORKER]
        frozen = {agent.path for agent in workers if agent.state is AgentState.PAUSED}
        assert frozen == {agent.path for agent in workers if path is None or agent.path.startswith(path)}
        assert all(agent.doing == "frozen: shell make" for agent in workers if agent.path in frozen)
        calls = swarm.snapshot.model_calls
        await clock.sleep(36_000)
        assert {"left 1", "left 2"} <= left_open(swarm.snapshot)
        if path is None:
            assert swarm.snapshot.state is RunState.PAUSED
            assert swarm.snapshot.model_calls == calls
        else:
            assert swarm.snapshot.agents[swarm.snapshot.paths[RIGHT]].state is AgentState.DONE
        await swarm.submit(Resume(path))
        assert all(
            swarm.snapshot.agents[agent.id].state is AgentState.ACTING for agent in workers if agent.path in frozen
        )
        outcome = await running
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 4
        assert {task.attempt for task in swarm.snapshot.tasks.values()} == {1}, "nothing is lost or done twice"

    simulated.simulate(main)


def test_a_frozen_subtree_starts_no_command_and_can_be_cancelled() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, two_sides, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: LEFT in s.snapshot.paths)
        await swarm.submit(Pause(LEFT, freeze=True))
        await clock.sleep(3_600)
        lefts = [agent for agent in swarm.snapshot.agents.values() if agent.path.startswith("root/left/")]
        assert not any(room.commands for agent in lefts for room in w.workspaces.opened.get(agent.id, []))
        await swarm.submit(Cancel(LEFT, "no longer"))
        outcome = await running
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 2

    simulated.simulate(main)


def test_a_command_frozen_while_it_is_cancelled_ends_with_its_agent() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, two_sides, shell=a_minute)
        swarm = fresh(w, FOUR_WORKERS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, all_at_work)
        await swarm.submit(Pause(LEFT, freeze=True))
        await swarm.submit(Cancel(LEFT, "no longer"))
        outcome = await running
        assert outcome.status is ExitStatus.DONE
        told = [h.text.summary for h in swarm.snapshot.handoffs.values() if h.by_engine]
        assert told == ["Cancelled before it was done: no longer"], "the slice's; its tasks' planner is gone"
        ended = {task.spec.title: (task.state, task.reason) for task in swarm.snapshot.tasks.values()}
        assert ended["left 1"] == ended["left 2"] == (TaskState.CANCELLED, "no longer")
        assert all(agent.ended for agent in swarm.snapshot.agents.values())

    simulated.simulate(main)

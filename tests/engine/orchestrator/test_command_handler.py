"""A person's commands to a running swarm, in a simulated world."""

import asyncio

import pytest

from engine.domain.commands import (
    Cancel,
    Pause,
    Rescope,
    Resolve,
    Resume,
    SetModel,
    SetPriority,
    SetWorkers,
    Steer,
    Stop,
    SubmitIntent,
)
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ErrorKind, ExitStatus, SwarmError
from engine.domain.settings import BudgetSettings, Settings, SwarmSettings
from engine.domain.types import AgentPath, AgentState, HandoffId, ModelName, RunState, TaskState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.steering import kind, landing_script, steered
from tests.engine.swarms import Generous, fresh, resumed
from tests.simulated import Ran, call, first_line, turn

ROOT = AgentPath("root")


def test_a_paused_run_does_nothing_until_it_is_resumed() -> None:
    async def act(swarm: Swarm) -> None:
        await swarm.submit(Pause())
        while swarm.snapshot.state is not RunState.PAUSED:
            await swarm.clock.sleep(0.1)
        before = swarm.snapshot.model_calls
        await swarm.clock.sleep(3_600)
        assert swarm.snapshot.model_calls == before
        await swarm.submit(Resume())

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 3

    steered(landing_script(["a", "b", "c"]), kind("task_started"), act, examine)


def test_a_paused_subtree_waits_while_its_siblings_continue() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                spawn = [call("spawn_subplanner", title=title, goal="own it") for title in ("left", "right")]
                return turn(*spawn)
            return done() if said(request).count("# Handoff: ") == 2 else turn(call("wait"))
        if heading.startswith("# Slice: "):
            return planner_of(heading[-5:].strip() + "-task")(request)
        return done() if turns(request) else writes(f"{heading[8:]}.txt", "x\n")

    async def act(swarm: Swarm) -> None:
        await swarm.submit(Pause(AgentPath("root/left")))
        await swarm.clock.sleep(600)
        states = {agent.path: agent.state for agent in swarm.snapshot.agents.values()}
        assert states[AgentPath("root/right")] is AgentState.DONE
        assert states[AgentPath("root/left")] is AgentState.PAUSED
        await swarm.submit(Resume(AgentPath("root/left")))

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 2

    left_spawned = lambda event: event.kind == "agent_spawned" and event.body.spawned.path == "root/left"  # noqa: E731
    steered(script, left_spawned, act, examine)


@pytest.mark.parametrize("freeze", [False, True], ids=["paused", "frozen"])
def test_a_paused_worker_keeps_no_other_from_starting_on_a_loaded_machine(freeze: bool) -> None:
    """The governor lets only one worker run, and that one is paused for as long as a person likes."""

    async def main(clock: simulated.SimulatedClock) -> None:
        def script(model: ModelName, request: Request) -> Turn:
            heading = first_line(request)
            if heading.startswith("# Intent"):
                return planner_of("a", "b")(request)
            if turns(request) == 0:
                return turn(call("shell", command="build"))
            return done() if turns(request) == 2 else writes(f"{heading[8:]}.txt", "x\n")

        w = simulated.world(clock, script, shell=lambda workspace, command: Ran(0, "built", 5.0))
        governor = Generous()
        governor.limit = 1
        swarm = fresh(w, governor=governor)
        running = asyncio.ensure_future(swarm.run())
        while not swarm.snapshot.task_counts[TaskState.WORKING]:
            await clock.sleep(0.1)
        await swarm.submit(Pause(AgentPath("root/w-1"), freeze=freeze))
        await clock.sleep(600)
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 1
        assert swarm.snapshot.task_counts[TaskState.WORKING] == 1
        await swarm.submit(Resume(AgentPath("root/w-1")))
        assert (await running).status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 2

    simulated.simulate(main)


def test_a_steered_agent_reads_the_message_before_its_next_call() -> None:
    async def act(swarm: Swarm) -> None:
        await swarm.submit(Steer(AgentPath("root/w-1"), "mind the gap"))

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        worker = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Task")]
        assert "# Message from the user\n\nmind the gap" in said(worker[-1])

    steered(landing_script(["a"]), kind("task_started"), act, examine)


def test_a_cancelled_subtree_ends_and_the_planner_above_gets_a_handoff() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return turn(call("spawn_subplanner", title="doomed", goal="own it"))
            return done() if "# Handoff: doomed" in said(request) else turn(call("wait"))
        if heading.startswith("# Slice"):
            return tasks("a", "b") if turns(request) == 0 else turn(call("wait"))
        return turn(call("read_file", path=f"{turns(request)}.txt"))  # never hands off

    async def act(swarm: Swarm) -> None:
        await swarm.submit(Cancel(AgentPath("root/doomed"), "no longer wanted"))

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        s = swarm.snapshot
        assert s.task_counts[TaskState.CANCELLED] == 2
        below = [agent for agent in s.agents.values() if agent.path.startswith("root/")]
        assert {agent.state for agent in below} == {AgentState.CANCELLED}
        handoff = next(h for h in s.handoffs.values() if s.agents[h.agent].path == "root/doomed")
        assert "no longer wanted" in handoff.text.summary

    steered(script, kind("turn_taken", 5), act, examine)


def test_a_cancelled_worker_lands_nothing_and_hands_off_once() -> None:
    async def act(swarm: Swarm) -> None:
        await swarm.submit(Cancel(AgentPath("root/w-1")))
        with pytest.raises(SwarmError, match="has ended"):
            await swarm.submit(Cancel(AgentPath("root/w-1")))

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.CANCELLED] == 1
        assert [h.by_engine for h in swarm.snapshot.handoffs.values()] == [True, False]
        assert "a.txt" not in w.trunk.files

    steered(landing_script(["a"]), kind("task_started"), act, examine)


def test_a_changed_intent_wakes_the_root_planner_with_the_diff() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            if "# Intent (version 2)" not in said(request):
                return done() if turns(request) else tasks("a")
            assert "+And more." in said(request)
            return done()
        return done() if turns(request) else writes("a.txt", "x\n")

    def script2(model: ModelName, request: Request) -> Turn:
        answer = script(model, request)
        if answer.message.calls[0].tool == "submit_handoff" and first_line(request).startswith("# Intent"):
            waits = said(request).count("# Handoff: ") < 1
            return turn(call("wait")) if waits else answer
        return answer

    async def act(swarm: Swarm) -> None:
        await swarm.submit(SubmitIntent("Do it.\nAnd more."))
        with pytest.raises(SwarmError, match="unchanged"):
            await swarm.submit(SubmitIntent("Do it.\nAnd more."))

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert [intent.version for intent in swarm.snapshot.intents] == [1, 2]
        root = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Intent")]
        assert "# Intent (version 2)" in said(root[-1])

    steered(script2, kind("task_started"), act, examine)


def test_workers_priorities_models_and_scopes_can_be_changed_in_a_running_swarm() -> None:
    titles = [f"t{n}" for n in range(6)]

    async def act(swarm: Swarm) -> None:
        await swarm.submit(SetWorkers(4))
        await swarm.submit(SetPriority(ROOT, 7))
        await swarm.submit(SetModel(ModelName("rehearsal:other")))
        with pytest.raises(SwarmError, match="not a subplanner"):
            await swarm.submit(Rescope(ROOT, "else"))
        with pytest.raises(SwarmError, match="no handoff h9"):
            await swarm.submit(Resolve(HandoffId("h9")))
        with pytest.raises(SwarmError) as raised:
            await swarm.submit(Pause(AgentPath("root/w-l")))
        assert raised.value.kind is ErrorKind.NOT_FOUND
        assert "did you mean root/w-" in raised.value.hint

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.workers_limit == 4
        assert swarm.snapshot.agents[swarm.snapshot.root].priority == 7
        later = [agent for agent in swarm.snapshot.agents.values() if agent.path in ("root", "root/w-6")]
        assert {agent.model for agent in later} == {"rehearsal:other"}
        assert w.models.asked[-1].model == "rehearsal:other"

    steered(landing_script(titles), kind("task_started"), act, examine, Settings(swarm=SwarmSettings(workers=1)))


def test_a_stopped_run_can_be_resumed() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, landing_script(["a", "b", "c"]))
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        while not swarm.snapshot.task_counts[TaskState.WORKING]:
            await clock.sleep(0.01)
        await swarm.submit(Stop())
        outcome = await running
        assert (outcome.state, outcome.status) == (RunState.STOPPED, ExitStatus.STOPPED)
        w = w.restart()
        again = await resumed(w)
        outcome = await again.run()
        assert outcome.status is ExitStatus.DONE
        assert again.snapshot.task_counts[TaskState.LANDED] == 3

    simulated.simulate(main)


def test_a_run_that_is_stopped_after_a_turn_without_calls_goes_on_with_a_message_to_its_agent() -> None:
    """Many models refuse a conversation that ends with their own words."""
    asked: list[Request] = []
    swarms: list[Swarm] = []
    landing = landing_script(["a"])

    def script(model: ModelName, request: Request) -> Turn:
        asked.append(request)
        if len(asked) == 2:
            swarms[0].stop(Outcome(RunState.STOPPED, ExitStatus.STOPPED, "stopped"))
        return turn(text="I think.") if len(asked) < 3 else landing(model, request)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        swarms.append(fresh(w))
        await swarms[0].run()
        again = await resumed(w.restart())
        await again.run()
        assert len(asked) > 2
        assert all(request.messages[-1].role == "user" for request in asked)

    simulated.simulate(main)


@pytest.mark.parametrize(
    "budget", [BudgetSettings(usd=0.0035), BudgetSettings(tokens=500), BudgetSettings(wall="2s")], ids=str
)
def test_a_used_up_budget_stops_the_run_with_status_3(budget: BudgetSettings) -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, landing_script([f"t{n}" for n in range(40)]))
        swarm = fresh(w, Settings(budget=budget, swarm=SwarmSettings(workers=1)))
        outcome = await swarm.run()
        assert (outcome.state, outcome.status) == (RunState.STOPPED, ExitStatus.BUDGET)
        assert swarm.snapshot.task_counts[TaskState.LANDED] < 40

    simulated.simulate(main)


def test_a_model_set_for_a_subtree_applies_to_agents_spawned_in_it_later() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                spawn = [call("spawn_subplanner", title=title, goal="own it") for title in ("left", "right")]
                return turn(*spawn)
            return done() if said(request).count("# Handoff: ") == 2 else turn(call("wait"))
        if heading.startswith("# Slice: "):
            return planner_of(heading[-5:].strip() + "-task")(request)
        return done()

    async def act(swarm: Swarm) -> None:
        await swarm.submit(SetModel(ModelName("rehearsal:cheap"), AgentPath("root/left")))
        with pytest.raises(SwarmError, match="there is no provider"):
            await swarm.submit(SetModel(ModelName("rehersal:cheap"), AgentPath("root/left")))

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        models = {agent.path: agent.model for agent in swarm.snapshot.agents.values()}
        assert models[AgentPath("root/left/w-1")] == "rehearsal:cheap"
        assert models[AgentPath("root/right/w-1")] == "scripted:model"

    left_spawned = lambda event: event.kind == "agent_spawned" and event.body.spawned.path == "root/left"  # noqa: E731
    steered(script, left_spawned, act, examine)

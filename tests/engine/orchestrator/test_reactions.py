"""The table of reactions has every kind of event, and the running swarm follows it."""

from typing import get_args

from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentId, CallId, ToolCallState
from engine.orchestrator.reactions import NOTHING
from engine.orchestrator.swarm import Swarm
from engine.state.fold.table import FOLDS
from tests import simulated
from tests.engine.swarms import fresh


def idle_swarm() -> Swarm:
    """A swarm that does not run yet."""

    async def main(clock: simulated.SimulatedClock) -> Swarm:
        return fresh(simulated.world(clock, lambda model, request: simulated.turn()))

    return simulated.simulate(main)


def test_the_table_names_every_kind_of_event_and_no_other() -> None:
    kinds = set(get_args(e.Body))
    assert set(idle_swarm().reactions) == kinds
    assert set(FOLDS) == kinds, "and so does the table of folds"


def test_samples_and_tool_starts_set_nothing_in_motion() -> None:
    table = idle_swarm().reactions
    assert [kind for kind, reactions in table.items() if reactions is NOTHING] == [
        e.Sampled,
        e.AgentsSampled,
        e.ToolStarted,
    ]


def test_the_swarm_calls_the_reactions_of_an_event_in_order_once_it_is_in_the_snapshot() -> None:
    swarm = idle_swarm()
    seen: list[tuple[str, int]] = []
    swarm.reactions = {
        **swarm.reactions,
        e.Warned: (
            lambda event, body: seen.append((f"first: {body.text}", swarm.snapshot.seq - event.seq)),
            lambda event, body: seen.append((f"second: {body.text}", swarm.snapshot.seq - event.seq)),
        ),
    }
    swarm.on_change(lambda event: seen.append((event.kind, swarm.snapshot.seq - event.seq)))
    swarm.record(Draft(e.Warned("one")), Draft(e.Sampled(simulated.PLENTY)))
    assert seen == [("first: one", 1), ("second: one", 1), ("warned", 1), ("sampled", 0)]


def test_reactions_record_nothing_themselves() -> None:
    swarm = idle_swarm()
    before = swarm.snapshot.seq
    failed = e.ToolFinished(CallId("c"), "shell", ToolCallState.OK, "exit 1 after 1.0 s\nerror: no such file")
    swarm.record(Draft(failed, AgentId("a1")))
    assert swarm.snapshot.seq == before + 1

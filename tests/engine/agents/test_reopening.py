"""A planner may ask a finished subplanner again a few times; then it has to decide otherwise, also after a resume."""

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.events import PathologySeen, Rescoped
from engine.domain.settings import BudgetSettings, Settings
from engine.domain.types import ModelName
from engine.tools.rescope_subplanner import REOPENED
from tests import simulated
from tests.engine.scripts import done, said
from tests.engine.swarms import fresh, resumed
from tests.simulated import World, call, first_line, turn


def stubborn(model: ModelName, request: Request) -> Turn:
    """A root planner that asks its subplanner again after every handoff, until it is told to decide otherwise."""
    if first_line(request).startswith("# Slice: "):
        return done()
    if any("Decide otherwise" in text for text in simulated.models.answers(request)):
        return done()
    handoffs = said(request).count("# Handoff: ")
    asked = sum(block.tool != "wait" for message in request.messages for block in message.calls)
    if asked > handoffs:
        return turn(call("wait"))
    if not asked:
        return turn(call("spawn_subplanner", title="left", goal="own it"))
    return turn(call("rescope_subplanner", subplanner="left", message="Once more."))


def rescoped(w: World) -> int:
    return sum(isinstance(event.body, Rescoped) for event in w.journal.surviving())


def test_planners_cannot_ask_each_other_again_without_end() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, stubborn)
        outcome = await fresh(w, Settings(budget=BudgetSettings(steps=200))).run()
        print(f"asked again {rescoped(w)} times: {outcome.reason}")
        assert outcome.status is ExitStatus.DONE
        assert rescoped(w) == REOPENED
        found = [event.body for event in w.journal.surviving() if isinstance(event.body, PathologySeen)]
        assert [each.detail for each in found] == [f"asks left again after {REOPENED + 1} handoffs"]

    simulated.simulate(main)


def test_the_count_survives_a_resume() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, stubborn)
        outcome = await fresh(w, Settings(budget=BudgetSettings(steps=9))).run()
        assert outcome.status is ExitStatus.BUDGET
        assert rescoped(w) > 0
        again = w.restart()
        assert (await (await resumed(again, Settings())).run()).status is ExitStatus.DONE
        assert rescoped(again) == REOPENED

    simulated.simulate(main)

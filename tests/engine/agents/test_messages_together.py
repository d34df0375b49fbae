"""Messages that wait for an agent are read together, in its next turn: never one turn each."""

import asyncio

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.settings import Settings, SwarmSettings
from engine.domain.types import ModelName
from tests import simulated
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import fresh
from tests.simulated import call, first_line, turn

FIVE = ("a", "b", "c", "d", "e")
SETTINGS = Settings(swarm=SwarmSettings(workers=5))


def handoffs(request: Request) -> list[int]:
    """How many handoffs each of the agent's messages brought, without those that brought none."""
    counts = [message.text.count("# Handoff: ") for message in request.messages if message.role == "user"]
    return [count for count in counts if count]


def plan(request: Request) -> Turn:
    if turns(request) == 0:
        return tasks(*FIVE)
    return turn(call("wait")) if said(request).count("# Handoff: ") < len(FIVE) else done()


def worker(request: Request) -> Turn:
    name = first_line(request).removeprefix("# Task: ")
    return done() if turns(request) else writes(f"{name}.txt", "x\n")


def of_root(w: simulated.World) -> list[Request]:
    return [each.request for each in w.models.asked if first_line(each.request).startswith("# Intent")]


def test_handoffs_that_arrive_during_a_model_call_are_read_in_one_turn() -> None:
    thinking = asyncio.Event()

    async def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return worker(request)
        if turns(request) == 1:
            await thinking.wait()
            return turn(text="I think about it")
        return plan(request)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        swarm = fresh(w, SETTINGS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda swarm: swarm.snapshot.handoff_count == len(FIVE))
        thinking.set()
        await running
        assert handoffs(of_root(w)[-1]) == [5]

    simulated.simulate(main)


def test_handoffs_that_arrive_while_the_provider_is_down_are_read_in_one_turn() -> None:
    """The call that the first of them caused is made again with all of them."""
    down, landed = asyncio.Event(), asyncio.Event()

    async def script(model: ModelName, request: Request) -> Turn | ModelError:
        if not first_line(request).startswith("# Intent"):
            if first_line(request) != "# Task: a":
                await down.wait()
            return worker(request)
        if "# Handoff: " in said(request) and not landed.is_set():
            down.set()
            return ModelError(ModelErrorKind.RETRYABLE, "overloaded")
        return plan(request)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        swarm = fresh(w, SETTINGS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda swarm: swarm.snapshot.handoff_count == len(FIVE))
        landed.set()
        await running
        assert handoffs(of_root(w)[-1]) == [5]
        assert swarm.snapshot.retries >= 1

    simulated.simulate(main)


def test_handoffs_that_arrive_while_a_call_waits_in_the_providers_queue_are_read_in_one_turn() -> None:
    async def script(model: ModelName, request: Request) -> Turn:
        return plan(request) if first_line(request).startswith("# Intent") else worker(request)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        free = asyncio.Event()

        async def queue(request: Request) -> None:
            if "# Handoff: " in said(request):
                await free.wait()

        w.models.queue = queue
        swarm = fresh(w, SETTINGS)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda swarm: swarm.snapshot.handoff_count == len(FIVE))
        free.set()
        await running
        assert handoffs(of_root(w)[-1]) == [5]

    simulated.simulate(main)

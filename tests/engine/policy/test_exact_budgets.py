"""Budgets are exact: whatever the number of workers, what a run spends never passes a limit."""

import asyncio
import random
from collections import Counter

import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import BudgetSettings, LimitSettings, Settings, SwarmSettings, TaskSettings
from engine.domain.spending import RUN, Part, of_task
from engine.domain.types import AgentState, ModelName, RunState, Usage
from engine.orchestrator.swarm import Swarm
from engine.policy.budget import LEAST_GRACE_S
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, said, turns, writes
from tests.engine.swarms import fresh, resumed
from tests.simulated import call, first_line, turn

INPUT_PRICE, CACHED_PRICE, OUTPUT_PRICE = 3e-6, 0.3e-6, 15e-6
ADDED = 3_000
"""The most tokens that one turn adds to a conversation."""


def used(request: Request, rng: random.Random, priced: bool = True) -> Usage:
    """The usage of a call: most of the conversation is cached, and an answer is seldom as long as it may be."""
    added = rng.randint(200, ADDED)
    whole = 8_000 + 2_000 * turns(request) + added
    cached = 0 if rng.random() < 0.1 else whole - added - 2_000
    output = request.max_output if rng.random() < 0.02 else rng.randint(50, 2_000)
    usd = (whole - cached) * INPUT_PRICE * 1.25 + cached * CACHED_PRICE + output * OUTPUT_PRICE
    return Usage(whole, cached, min(output, request.max_output), usd if priced else None)


def most(request: Request, priced: bool = True) -> Usage:
    """The most that the call may use."""
    whole = 8_000 + 2_000 * turns(request) + ADDED
    usd = whole * INPUT_PRICE * 1.25 + request.max_output * OUTPUT_PRICE
    return Usage(whole, 0, request.max_output, usd if priced else None)


def storm(limits: Settings, priced: bool = True, breaks: float = 0.0) -> tuple[simulated.World, Swarm, Outcome]:
    """Sixteen workers with endless tasks, which hand off when they are told to."""
    rng = random.Random(7)
    plan = planner_of(*(f"t{n}" for n in range(60)))

    def script(model: ModelName, request: Request) -> Turn:
        spent = used(request, rng, priced)
        if first_line(request).startswith("# Intent"):
            return simulated.models.replace_usage(plan(request), spent)
        if "Hand off now" in said(request):
            answer = turn(call("submit_handoff", status="partial", summary="cut short"))
        elif turns(request) >= 25:
            answer = done()
        else:
            answer = writes(f"{first_line(request).removeprefix('# Task: ')}.txt", f"{turns(request)}\n")
        return simulated.models.replace_usage(answer, spent)

    def breaking(model: ModelName, request: Request) -> Turn | Exception:
        """Some answers break off, and cost what had arrived."""
        if rng.random() >= breaks:
            return script(model, request)
        error = ModelError(ModelErrorKind.RETRYABLE, "the answer was cut short")
        error.usage = used(request, rng, priced)
        return error

    async def main(clock: simulated.SimulatedClock) -> tuple[simulated.World, Swarm, Outcome]:
        w = simulated.world(clock, breaking)
        w.models.most_of = lambda request: most(request, priced)
        swarm = fresh(w, limits)
        return w, swarm, await swarm.run()

    return simulated.simulate(main)


def limited(task: TaskSettings | None = None, **budget: object) -> Settings:
    return Settings(
        budget=BudgetSettings(**budget),  # type: ignore[arg-type]
        swarm=SwarmSettings(workers=16),
        task=task or TaskSettings(),
    )


@pytest.mark.parametrize(
    ("budget", "part", "kind", "limit"),
    [
        ({"usd": 20.0}, RUN, "usd", 20.0),
        ({"usd": 5.0}, RUN, "usd", 5.0),
        ({"tokens": 8_000_000}, RUN, "tokens", 8_000_000),
        ({"steps": 400}, RUN, "steps", 400),
        ({"role": {"worker": LimitSettings(usd=20.0)}}, Part("role worker"), "usd", 20.0),
        ({"subtree": {"root": LimitSettings(tokens=8_000_000)}}, Part("subtree root"), "tokens", 8_000_000),
        ({"usd": 20.0, "tokens": 9_000_000, "steps": 300}, RUN, "steps", 300),
    ],
    ids=["usd", "few usd", "tokens", "steps", "role", "subtree", "several"],
)
def test_a_storm_of_sixteen_workers_never_passes_a_limit_and_uses_most_of_it(
    budget: dict[str, object], part: Part, kind: str, limit: float
) -> None:
    _, swarm, outcome = storm(limited(**budget))
    spent = getattr(swarm.snapshot.spent[part], kind)
    print(f"{part}: {spent:.4f} of {limit} {kind} ({spent / limit:.1%}), {outcome.reason}")
    assert outcome.status is ExitStatus.BUDGET
    assert spent <= limit
    assert spent >= 0.9 * limit


def test_answers_that_break_off_and_are_asked_for_again_stay_within_the_limit() -> None:
    _, swarm, _ = storm(limited(usd=20.0), breaks=0.2)
    spent = swarm.snapshot.spent[RUN].usd
    print(f"a fifth of the answers breaks off: {spent:.4f} of 20.0 usd, {swarm.snapshot.retries} retries")
    assert swarm.snapshot.retries > 50
    assert 18.0 <= spent <= 20.0


def test_tokens_of_unknown_price_stay_within_the_limit_at_the_ceiling_price() -> None:
    _, swarm, _ = storm(limited(usd=100.0), priced=False)
    spent = swarm.snapshot.spent[RUN].unpriced * 25 / 1_000_000
    print(f"at the ceiling price: {spent:.4f} of 100.0 usd")
    assert 90.0 <= spent <= 100.0


def test_no_task_passes_its_own_limit() -> None:
    _, swarm, _ = storm(limited(TaskSettings(max_usd=0.9), usd=30.0))
    spent = {
        task: swarm.snapshot.spent[of_task(task)].usd
        for task in swarm.snapshot.tasks
        if of_task(task) in swarm.snapshot.spent
    }
    print(f"{len(spent)} tasks, the dearest {max(spent.values()):.4f} of 0.9 usd")
    assert max(spent.values()) <= 0.9
    assert swarm.snapshot.spent[RUN].usd <= 30.0


def test_a_budget_too_small_for_one_call_is_refused_before_anything_is_spent() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lambda model, request: done())
        w.models.most_of = most
        with pytest.raises(SwarmError) as refused:
            await fresh(w, limited(usd=0.1)).run()
        print(refused.value.message, "| hint:", refused.value.hint)
        assert refused.value.kind is ErrorKind.USAGE
        assert refused.value.status is ExitStatus.BUDGET
        assert "0.10 USD" in refused.value.message
        assert "USD" in refused.value.hint
        assert not w.models.asked

    simulated.simulate(main)


def test_at_the_limit_of_time_a_call_under_way_is_interrupted_and_the_run_ends() -> None:
    async def endless(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("a")(request)
        await asyncio.sleep(10_000_000)
        return done()

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lambda model, request: endless(model, request))
        outcome = await fresh(w, limited(wall="30s")).run()
        print(f"a limit of 30 s, over after {clock.monotonic():.0f} s")
        assert outcome.status is ExitStatus.BUDGET
        assert clock.monotonic() <= 30 + LEAST_GRACE_S + 20

    simulated.simulate(main)


def test_a_call_under_way_when_the_money_runs_out_is_interrupted_and_its_agent_hands_off() -> None:
    """One worker spends what there is while the other waits for an answer that never ends."""

    async def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("slow", "quick")(request)
        if "Hand off now" in said(request):
            return turn(call("submit_handoff", status="partial", summary="cut short"))
        if "slow" in first_line(request):
            await asyncio.sleep(10_000_000)
        return writes("quick.txt", f"{turns(request)}\n")

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lambda model, request: script(model, request))
        swarm = fresh(w, limited(steps=20))
        outcome = await swarm.run()
        print(f"over after {clock.monotonic():.0f} s, {swarm.snapshot.model_calls} of 20 calls")
        assert outcome.status is ExitStatus.BUDGET
        assert [handoff.text.summary for handoff in swarm.snapshot.handoffs.values()] == ["cut short"] * 2
        assert swarm.snapshot.model_calls <= 20

    simulated.simulate(main)


UNDER_WAY = {AgentState.WAITING: 1, AgentState.THINKING: 2}
"""The planner has nothing to do until its workers, whose calls do not end, have handed off."""


def test_calls_under_way_when_the_program_dies_count_at_their_worst_case() -> None:
    async def hanging(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("a", "b")(request)
        await asyncio.sleep(10_000_000)
        return done()

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, lambda model, request: hanging(model, request))
        swarm = fresh(w, limited(usd=20.0))
        running = asyncio.ensure_future(swarm.run())
        while Counter(agent.state for agent in swarm.snapshot.agents.values()) != UNDER_WAY:
            await clock.sleep(0.1)
        await clock.sleep(1)
        before = swarm.snapshot.spent[RUN].usd
        w.crash()
        await w.bury([running])
        again = await resumed(w.restart(), limited(usd=20.0))
        asyncio.get_running_loop().call_later(1, again.stop, Outcome(RunState.STOPPED, ExitStatus.STOPPED, "enough"))
        await again.run()
        lost = again.snapshot.spent[RUN].usd - before
        print(f"two calls under way at the kill count {lost:.4f} usd")
        assert lost == pytest.approx(2 * simulated.models.USED.usd)

    simulated.simulate(main)

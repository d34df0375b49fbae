"""Reservations of model calls: what may be kept for handoffs, and when that need not be known."""

import random

from msgspec.structs import replace

from engine.domain.settings import LimitSettings
from engine.domain.types import Agent, AgentId, AgentPath, ModelName, Role, Usage
from engine.policy.reservations import (
    MOST_KEPT,
    Amount,
    Room,
    affordable_output,
    amount,
    fits_beside,
    kept_for_handoffs,
    total,
)


def agents(dice: random.Random) -> list[Agent]:
    return [
        Agent(
            id=AgentId(f"a{number}"),
            path=AgentPath(f"/root/{number}"),
            parent=None,
            role=Role.WORKER,
            model=ModelName("m"),
            title="t",
            intent=1,
            epoch=1,
            spawned_at=0,
            usage=Usage(dice.randrange(10**6), 0, dice.randrange(10**4), usd=dice.random() * 5),
            steps=dice.randrange(50),
        )
        for number in range(dice.randrange(60))
    ]


def test_a_call_that_fits_beside_the_most_that_is_kept_fits_whatever_is_kept() -> None:
    dice = random.Random(1)
    fitted = 0
    for _ in range(2_000):
        usd, tokens, steps = dice.random() * 100, dice.randrange(10**7), dice.randrange(1_000)
        limits = LimitSettings(usd=usd, tokens=tokens, steps=steps)
        part = dice.random() * 0.6
        room = Room(limits, Amount(usd * part, tokens * part, steps * part), Amount(0.1, 1_000, 2))

        def cost(output: int) -> Amount:
            return Amount(output / 10_000, 5_000 + output, 1)

        worst = [cost(dice.randrange(16_000)) for _ in range(dice.randrange(5))]
        kept = kept_for_handoffs(limits, agents(dice), worst, 3, 10.0)
        most = Amount(MOST_KEPT * usd, MOST_KEPT * tokens, MOST_KEPT * steps)
        assert kept.usd <= most.usd
        assert kept.tokens <= most.tokens
        assert kept.steps <= most.steps
        if fits_beside(room, cost(8_000)):
            fitted += 1
            assert affordable_output(replace(room, kept=kept), cost, 8_000, 1_024) == 8_000
    assert 200 < fitted < 1_800


def test_a_handoff_of_each_agent_at_work_is_kept_at_its_average() -> None:
    at_work = [each for each in agents(random.Random(3)) if each.steps]
    kept = kept_for_handoffs(LimitSettings(usd=1e6), at_work, [], 1, 0.0)
    expected = total(amount(each.usage, 0.0) for each in at_work)
    assert 0 < kept.usd < expected.usd
    assert kept.tokens == kept.steps == 0

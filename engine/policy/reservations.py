"""What a model call reserves of its limits before it starts, and what is kept for handoffs.

A call starts only if its worst case fits into every limit that it counts towards, besides what is spent and what calls
under way have reserved. So a limit is never passed, however many agents call at once.
"""

from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from engine.domain.settings import LimitSettings
from engine.domain.spending import Spent
from engine.domain.types import Agent, Usage

GRACE_OUTPUT = 4_096
"""The most tokens of an answer once a limit is reached: enough for a handoff."""
USEFUL_OUTPUT = 4_096
"""A budget may shorten an answer down to this many tokens; a call that could say less is not made."""
LEAST_GRACE_OUTPUT = 1_024
"""The same for a handoff."""
MOST_KEPT = 0.5
"""The largest share of a limit that may be kept for handoffs."""
KEPT_SHARE = 0.05
"""The share of a limit that is kept for handoffs, if one call of each agent at work needs no more."""


class Amount(Struct, frozen=True):
    """What calls use of the limits that calls count towards."""

    usd: float = 0.0
    tokens: float = 0
    steps: float = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.usd + other.usd, self.tokens + other.tokens, self.steps + other.steps)


KINDS = Amount.__struct_fields__
Cost = Callable[[int], Amount]
"""The worst case of a call whose answer may have this many tokens."""


class Room(Struct, frozen=True):
    """A limit, what is spent of it, what calls under way have reserved, and what is kept for handoffs."""

    limits: LimitSettings
    spent: Amount
    in_flight: Amount
    kept: Amount = Amount()


def amount(usage: Usage, ceiling_price: float, steps: int = 1) -> Amount:
    """What a call counts; tokens of unknown price count at the ceiling price."""
    tokens = usage.input + usage.output
    usd = tokens * ceiling_price / 1_000_000 if usage.usd is None else usage.usd
    return Amount(usd, tokens, steps)


def spent_amount(spent: Spent, ceiling_price: float) -> Amount:
    return Amount(spent.usd + spent.unpriced * ceiling_price / 1_000_000, spent.tokens, spent.steps)


def total(amounts: Iterable[Amount]) -> Amount:
    usd: float = 0.0
    tokens: float = 0
    steps: float = 0
    for each in amounts:
        usd += each.usd
        tokens += each.tokens
        steps += each.steps
    return Amount(usd, tokens, steps)


def shortage(limits: LimitSettings, used: Amount, need: Amount) -> str:
    """The first kind of limit that `need` does not fit into; empty if it fits."""
    for kind in KINDS:
        limit = getattr(limits, kind)
        if limit and getattr(used, kind) + getattr(need, kind) > limit:
            return str(kind)
    return ""


def affordable_output(room: Room, cost: Cost, wanted: int, least: int) -> int:
    """How many tokens the answer may have now, from `least` to `wanted`; 0 if even the least does not fit."""
    used = room.spent + room.in_flight + room.kept
    high, low = cost(wanted), cost(least)
    if not shortage(room.limits, used, high):
        return wanted
    if shortage(room.limits, used, low):
        return 0
    output = wanted
    for kind in KINDS:
        limit, more = getattr(room.limits, kind), getattr(high, kind) - getattr(low, kind)
        if limit and more > 0:
            left = limit - getattr(used, kind) - getattr(low, kind)
            output = min(output, least + int(left / more * (wanted - least)))
    while output > least and shortage(room.limits, used, cost(output)):  # rounding
        output = max(least, output - 16)
    return output


def only_waits(room: Room, need: Amount) -> bool:
    """Whether the call would fit if no other were under way."""
    return not shortage(room.limits, room.spent + room.kept, need)


def kept_for_handoffs(
    limits: LimitSettings, at_work: Collection[Agent], handoffs: Collection[Amount], steps: int, ceiling_price: float
) -> Amount:
    """What is kept of a limit so that agents at work can hand off.

    That is one call of each agent, at its average so far; within KEPT_SHARE of the limit, up to `steps` calls of each;
    at least the worst case of the dearest handoff; and never more than MOST_KEPT of the limit.
    """
    usd = tokens = 0.0
    for agent in at_work:  # there may be a thousand
        calls, used = max(1, agent.steps), amount(agent.usage, ceiling_price)
        usd += used.usd / calls
        tokens += used.tokens / calls
    one = Amount(usd, tokens, len(at_work))
    kept: dict[str, float] = {}
    for kind in KINDS:
        limit, each = getattr(limits, kind), getattr(one, kind)
        dearest = max((getattr(handoff, kind) for handoff in handoffs), default=0)
        kept[kind] = min(MOST_KEPT * limit, max(each, min(steps * each, KEPT_SHARE * limit), dearest))
    return Amount(kept["usd"], int(kept["tokens"]), int(kept["steps"]))


def fits_beside(room: Room, need: Amount) -> bool:
    """Whether a call fits beside the most that can be kept for handoffs."""
    most = Amount(*(MOST_KEPT * getattr(room.limits, kind) for kind in KINDS))
    return not shortage(room.limits, room.spent + room.in_flight + most, need)


def within(usage: Usage, most: Usage) -> tuple[Usage, str]:
    """The usage that a provider reports, at most what is possible, and what is wrong with the report; empty if fine."""
    if usage.input <= most.input and usage.output <= most.output:
        return usage, ""
    wrong = f"{usage.input} input and {usage.output} output tokens, at most {most.input} and {most.output} are possible"
    tokens = min(usage.input, most.input)
    cached = min(usage.cached, tokens)
    written = min(usage.written, tokens - cached)
    return Usage(tokens, cached, min(usage.output, most.output), None, written), wrong

"""What the run's row counts, added up for all events of a transaction."""

from engine.journal.statements import MOST, Parameters, Statement, Write
from engine.types import Usage


def _sum(rows: list[Parameters]) -> Parameters:
    """Column by column; None, for what is not known, stays None."""
    return [None if None in column else min(sum(column), MOST) for column in zip(*rows, strict=True)]


_COUNTS = Statement(
    "runs",
    "UPDATE runs SET agents = agents + ?, landed = landed + ?, failed = failed + ?, cancelled = cancelled + ?, "
    "handoffs = handoffs + ?, checks_passed = checks_passed + ?, checks_failed = checks_failed + ?, "
    "model_calls = model_calls + ?, retries = retries + ?, input_tokens = input_tokens + ?, "
    "cached_tokens = cached_tokens + ?, output_tokens = output_tokens + ?, usd = usd + ?",
    apart=1,
    once=_sum,
)
_COUNTED = (
    *("agents", "landed", "failed", "cancelled", "handoffs", "checks_passed", "checks_failed"),
    *("model_calls", "retries", "input_tokens", "cached_tokens", "output_tokens", "usd"),
)
_NONE: dict[str, float | None] = dict.fromkeys(_COUNTED, 0)


def count(**more: float | None) -> Write:
    """So much more of each; None for dollars makes them unknown for good."""
    return _COUNTS, tuple((_NONE | more).values())


def tokens(usage: Usage) -> tuple[int, int, int, float | None]:
    """What a server claims may be more than SQLite's integers hold."""
    return min(usage.input, MOST), min(usage.cached, MOST), min(usage.output, MOST), usage.usd

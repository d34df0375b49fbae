"""The counters of the run's row, summed over the events of a transaction."""

from engine.domain.bounds import LARGEST
from engine.domain.types import Usage
from engine.journal.statements import Statement, Write, added, total

_COUNTED = (
    *("agents", "landed", "unchanged", "failed", "cancelled", "handoffs", "checks_passed", "checks_failed"),
    *("model_calls", "retries", "input_tokens", "cached_tokens", "output_tokens", "usd"),
)
_COUNTS = Statement(
    "runs",
    "UPDATE runs SET agents = agents + ?, landed = landed + ?, unchanged = unchanged + ?, failed = failed + ?, "
    "cancelled = cancelled + ?, "
    "handoffs = handoffs + ?, checks_passed = checks_passed + ?, checks_failed = checks_failed + ?, "
    "model_calls = model_calls + ?, retries = retries + ?, input_tokens = input_tokens + ?, "
    "cached_tokens = cached_tokens + ?, output_tokens = output_tokens + ?, usd = usd + ?",
    apart=1,
    fold=added(0, *[total] * len(_COUNTED)),
)
_NONE: dict[str, float | None] = dict.fromkeys(_COUNTED, 0)


def count(**more: float | None) -> Write:
    """Add to the counters; None for `usd` makes the cost unknown for good."""
    return _COUNTS, tuple((_NONE | more).values())


def called(usage: tuple[int, int, int, float | None]) -> Write:
    """Count one model call and its usage."""
    return _COUNTS, (*[0] * 8, 1, 0, *usage)


def tokens(usage: Usage) -> tuple[int, int, int, float | None]:
    """The usage, capped: a server may claim more than SQLite's integers hold."""
    return min(usage.input, LARGEST), min(usage.cached, LARGEST), min(usage.output, LARGEST), usage.usd

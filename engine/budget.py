"""Whether a run may still spend. Pure; enforced by the engine before each model call, never by a prompt."""

from engine.quantities import span_s
from engine.settings import BudgetSettings
from engine.snapshot import Snapshot
from engine.types import Micros

NEAR = 0.9
"""Share of a limit at which the planners are told."""


def used(budget: BudgetSettings, snapshot: Snapshot, now: Micros) -> tuple[float, str]:
    """The largest used share of any limit (1.0 is all of it) and that limit in words; 0.0 without limits.

    Calls of unknown price make `usd` unknown; then only the other limits hold, and the run says so when it starts.
    """
    usage = snapshot.usage
    shares = [(0.0, "")]
    if budget.usd and usage.usd is not None:
        shares.append((usage.usd / budget.usd, f"{usage.usd:.2f} of {budget.usd:.2f} USD"))
    if budget.tokens:
        tokens = usage.input + usage.output
        shares.append((tokens / budget.tokens, f"{tokens} of {budget.tokens} tokens"))
    if budget.wall:
        wall = snapshot.wall(now) / 1_000_000
        shares.append((wall / span_s(budget.wall), f"{wall / 3600:.1f} h of {budget.wall}"))
    return max(shares)

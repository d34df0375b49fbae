"""Measurements over a stretch of time: which stretch, and one value for each cell of a chart."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from enum import StrEnum

from tui.bridge import Micros, Sample

TimedSamples = Sequence[tuple[Micros, Sample]]
"""Samples and when they were taken, oldest first."""
_MINUTE = 60_000_000
HOLDS: Micros = 20_000_000
"""A sample stands for that long when none follows: a few times the engine's own rhythm."""


class TimeRange(StrEnum):
    """How far back the charts go."""

    MINUTE = "1 min"
    TEN_MINUTES = "10 min"
    HOUR = "1 h"
    ALL = "all"

    def span(self, whole: Micros) -> Micros:
        """Its length; `whole` is the run's age."""
        minutes = {TimeRange.MINUTE: 1, TimeRange.TEN_MINUTES: 10, TimeRange.HOUR: 60}.get(self)
        return max(_MINUTE, whole) if minutes is None else minutes * _MINUTE


def resample(
    moments: TimedSamples, of: Callable[[Sample], float], until: Micros, span: Micros, cells: int
) -> list[float]:
    """The largest value in each of `cells` equal parts of the stretch that ends at `until`.

    A part without a sample has that of the sample before it, as long as that holds; else NaN.
    """
    if cells <= 0 or not moments:
        return [float("nan")] * max(0, cells)
    times = [at for at, _ in moments]
    values: list[float] = []
    holds = max(HOLDS, 2 * span // cells)
    for cell in range(cells):
        start, end = until - span + span * cell // cells, until - span + span * (cell + 1) // cells
        first, last = bisect_right(times, start), bisect_right(times, end)
        if first < last:
            values.append(max(of(moments[index][1]) for index in range(first, last)))
        elif first and end - times[first - 1] <= holds:
            values.append(of(moments[first - 1][1]))
        else:
            values.append(float("nan"))
    return values


def per_minute(times: Sequence[Micros], until: Micros, span: Micros, cells: int) -> list[float]:
    """How many of these moments a minute, at the end of each of `cells` equal parts of the stretch."""
    window = max(_MINUTE, span // max(1, cells))
    rates = []
    for cell in range(1, cells + 1):
        end = until - span + span * cell // cells
        rates.append((bisect_right(times, end) - bisect_right(times, end - window)) * _MINUTE / window)
    return rates

"""Samples over a time range, as one value for each cell of a chart."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from enum import StrEnum

from tui.bridge import Micros, Sample

TimedSamples = Sequence[tuple[Micros, Sample]]
"""Samples with the time each was taken at, oldest first."""
_MINUTE = 60_000_000
SAMPLE_LASTS: Micros = 20_000_000
"""How long a sample counts when none follows it: a few times the engine's sampling interval."""


class TimeRange(StrEnum):
    """How far back the charts reach."""

    MINUTE = "1 min"
    TEN_MINUTES = "10 min"
    HOUR = "1 h"
    ALL = "all"

    def duration(self, whole: Micros) -> Micros:
        """The length of the range; `whole` is the run's age."""
        minutes = {TimeRange.MINUTE: 1, TimeRange.TEN_MINUTES: 10, TimeRange.HOUR: 60}.get(self)
        return max(_MINUTE, whole) if minutes is None else minutes * _MINUTE


def resample(
    samples: TimedSamples, of: Callable[[Sample], float], until: Micros, duration: Micros, cells: int
) -> list[float]:
    """The largest value in each of `cells` equal parts of the range that ends at `until`.

    A part without a sample takes the value of the last sample before it, while that lasts; otherwise it is NaN.
    """
    if cells <= 0 or not samples:
        return [float("nan")] * max(0, cells)
    times = [at for at, _ in samples]
    values: list[float] = []
    lasts = max(SAMPLE_LASTS, 2 * duration // cells)
    for cell in range(cells):
        start, end = until - duration + duration * cell // cells, until - duration + duration * (cell + 1) // cells
        first, last = bisect_right(times, start), bisect_right(times, end)
        if first < last:
            values.append(max(of(samples[index][1]) for index in range(first, last)))
        elif first and end - times[first - 1] <= lasts:
            values.append(of(samples[first - 1][1]))
        else:
            values.append(float("nan"))
    return values


def per_minute(times: Sequence[Micros], until: Micros, duration: Micros, cells: int) -> list[float]:
    """Events per minute at the end of each of `cells` equal parts of the range that ends at `until`."""
    window = max(_MINUTE, duration // max(1, cells))
    rates = []
    for cell in range(1, cells + 1):
        end = until - duration + duration * cell // cells
        rates.append((bisect_right(times, end) - bisect_right(times, end - window)) * _MINUTE / window)
    return rates

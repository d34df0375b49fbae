"""Charts over time: the value of each cell, and how bars and axes are drawn."""

from math import isnan

import pytest

from engine.domain.resource_use import Sample
from tui.format.chart import SAMPLE_LASTS, TimeRange, per_minute, resample
from tui.format.numbers import axis_top, bars, price, short_size

SECOND = 1_000_000


def test_each_cell_shows_the_largest_value_of_its_part() -> None:
    moments = [(second * SECOND, Sample(cpu=float(second))) for second in range(1, 61)]
    values = resample(moments, lambda s: s.cpu, 60 * SECOND, 60 * SECOND, 6)
    assert values == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def test_a_sample_lasts_until_the_next_one_and_gaps_stay_gaps() -> None:
    moments = [(0, Sample(cpu=5.0)), (200 * SECOND, Sample(cpu=7.0))]
    values = resample(moments, lambda s: s.cpu, 200 * SECOND, 200 * SECOND, 20)
    assert values[0] == 5.0
    assert isnan(values[SAMPLE_LASTS // (10 * SECOND) + 1])
    assert values[-1] == 7.0
    assert all(isnan(value) for value in resample([], lambda s: s.cpu, 0, SECOND, 3))


def test_landings_are_per_minute_in_every_time_range() -> None:
    times = [second * SECOND for second in range(0, 3600, 10)]
    for span in (600, 3600):
        assert per_minute(times, 3600 * SECOND, span * SECOND, 10)[-1] == pytest.approx(6, abs=1)


def test_the_time_range_all_is_the_age_of_the_run() -> None:
    assert TimeRange.HOUR.duration(1) == 3600 * SECOND
    assert TimeRange.ALL.duration(7200 * SECOND) == 7200 * SECOND
    assert TimeRange.ALL.duration(SECOND) == 60 * SECOND


def test_bars_grow_from_the_bottom_and_gaps_are_blank() -> None:
    assert bars([0, 1, 2, float("nan"), 4], 1, 4) == ["▁▂▄ █"]
    assert bars([0, 2, 4], 2, 4) == ["  █", "▁██"]
    assert bars([9], 1, 4) == ["█"]


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.2, 2), (17, 20), (20.0, 20), (501, 1000)])
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert axis_top(value) == pytest.approx(top)


def test_sizes_and_prices_fit_a_column() -> None:
    assert [short_size(n) for n in (0, 512, 1536, 20 << 20, 78.4 * 2**30)] == ["0", "512", "1.5K", "20M", "78.4G"]
    assert [price(n) for n in (None, 0, 0.004, 2.5, 12.34, 1234)] == ["n/a", "$0", "<1¢", "$2.50", "$12.3", "$1.2k"]

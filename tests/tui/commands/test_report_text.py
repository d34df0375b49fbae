"""The report as text."""

import pytest

from engine.reports.report_values import LoadReport
from tui.commands import report


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (59.94, "59.9s"), (59.96, "1m00s"), (179.6, "3m00s"), (3599.6, "1h00m"), (187_200.0, "2d04h")],
)
def test_a_duration_has_no_60_seconds(seconds: float, text: str) -> None:
    assert report._span(seconds) == text


def test_the_report_says_that_the_machine_was_busy_and_what_the_governor_did() -> None:
    assert list(report._load(LoadReport(5.0, 90.0, 0, None, 0.0, ""))) == []
    assert list(report._load(LoadReport(83.0, 71.0, 3, 1, 720.0, "commands wait for a CPU 90% of the time"))) == [
        "CPU        commands waited for it 83% of the time in which they could run; other programs used 71% of it",
        "governor   lowered the number of workers 3 times, to 1 worker, for 12m00s in all",
        "           last because commands wait for a CPU 90% of the time",
    ]

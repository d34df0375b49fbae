"""The report as text."""

import pytest

from tui.commands import report


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (59.94, "59.9s"), (59.96, "1m00s"), (179.6, "3m00s"), (3599.6, "1h00m"), (187_200.0, "2d04h")],
)
def test_a_duration_has_no_60_seconds(seconds: float, text: str) -> None:
    assert report._span(seconds) == text

"""What the main screens look like, at three sizes; `pytest --snapshot-update` takes new pictures."""

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from tests.tui.apps import app_on, press, settle
from tests.tui.swarms import small
from tui.bridge import Start

SIZES = [(80, 24), (120, 40), (200, 60)]
Compare = Callable[..., bool]


@pytest.mark.parametrize("theme", ["midnight", "daylight"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_main_screen(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    assert snap_compare(app_on(small(), theme=theme), terminal_size=size, run_before=settle)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(("j", "j", "j", "2", "right_square_bracket"), id="diff"),
        pytest.param(("3", "enter"), id="handoff"),
        pytest.param(("question_mark",), id="help"),
        pytest.param(("j", "x"), id="cancel"),
        pytest.param(("i",), id="intent"),
        pytest.param(("q",), id="quit"),
    ],
)
def test_other_screens(snap_compare: Compare, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    async def before(pilot: "Pilot[int]") -> None:
        await settle(pilot)
        await press(pilot, *keys)

    assert snap_compare(app_on(small()), terminal_size=size, run_before=before)


def test_the_start_screen(snap_compare: Compare) -> None:
    start = Start(
        "/home/ada/src/mdconv",
        "main",
        "make test",
        {"planner": "anthropic:large", "worker": "openai:small"},
        "namespaced",
        ("3 changed files are not committed: agents will not see the changes",),
    )
    assert snap_compare(app_on(small(), start=start), terminal_size=(100, 30))

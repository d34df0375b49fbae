"""What every pane and screen looks like, at three sizes in two themes; `pytest --snapshot-update` takes new pictures.

One app walks through all surfaces of a size and theme: starting an app for each would cost ten times as much.
"""

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from tests.tui.apps import app_on, main_of, press, settle
from tests.tui.swarms import small
from tui.app import SwarmApp
from tui.bridge import SubmitIntent
from tui.sessions.session import Start

SIZES = [(80, 24), (120, 40), (200, 60)]
SURFACES = {
    "agents": ("j j j", ""),
    "now": ("2", ""),
    "diff": ("]", ""),
    "messages": ("]", ""),
    "task": ("]", ""),
    "scratchpad": ("]", ""),
    "log": ("]", ""),
    "handoffs": ("3", ""),
    "handoff": ("enter", "escape"),
    "events": ("4", ""),
    "resources": ("5", ""),
    "help": ("1 ?", "escape"),
    "steer": ("s", "escape"),
    "cancel": ("x", "escape"),
    "themes": ("T", "escape"),
    "quit": ("q", "escape"),
    "intent": ("i x", ""),
    "apply": ("f2", "escape"),
    "version": ("escape ]", "q"),
}
"""The keys that lead from each surface to the next, and those that lead out of it again."""
_KEYS = {"]": "right_square_bracket", "?": "question_mark"}


def taken(app: SwarmApp) -> str:
    """The screen as it stands, without notes that come and go."""
    app.clear_notifications()
    return app.export_screenshot()


@pytest.mark.parametrize("theme", ["midnight", "daylight"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_pane_and_screen(snapshot: SnapshotAssertion, size: tuple[int, int], theme: str) -> None:
    pictures = snapshot.use_extension(SVGImageExtension)
    session = small()
    session.submit(SubmitIntent(session.run.intents[0].text + "- benchmarks against other converters\n"))
    app = app_on(session, theme=theme)
    different = []
    async with app.run_test(size=size, notifications=False) as pilot:
        await settle(pilot)
        for name, (there, back) in SURFACES.items():
            await press(pilot, *(_KEYS.get(key, key) for key in there.split()))
            if taken(app) != pictures(name=name):
                different.append(name)
            await press(pilot, *back.split())
        assert app.screen is main_of(app)
    assert not different


@pytest.mark.parametrize("theme", ["midnight", "daylight"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_start_screen(snapshot: SnapshotAssertion, size: tuple[int, int], theme: str) -> None:
    start = Start(
        "/home/me/src/mdconv",
        "main",
        "make test",
        {"planner": "anthropic:large", "worker": "openai:small"},
        "namespaced",
        ("3 changed files are not committed: agents will not see the changes",),
        keys={"ANTHROPIC_API_KEY": "is set", "OPENAI_API_KEY": "is set"},
    )
    app = app_on(small(), theme=theme, start=start)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert taken(app) == snapshot.use_extension(SVGImageExtension)

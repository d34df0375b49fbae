"""Apps for pilot tests: on a made-up swarm, with a clock that stands still, and words to wait and look with."""

import re
from collections.abc import Mapping

from textual.pilot import Pilot

from tests.tui.fake_session import FakeSession
from tui.app import SwarmApp
from tui.input.keymap import Keymap
from tui.screens.main import MainScreen
from tui.sessions.session import Start
from tui.style.theme import Palette, load_themes


def app_on(
    session: FakeSession,
    *,
    theme: str = "midnight",
    start: Start | None = None,
    keys: Mapping[str, str] | None = None,
    themes: Mapping[str, Palette] | None = None,
) -> SwarmApp:
    if themes is None:
        themes, broken = load_themes()
        assert not broken
    return SwarmApp(lambda _: session, themes=themes, theme=theme, keymap=Keymap(keys), overrides=keys, start=start)


async def settle(pilot: "Pilot[int]") -> None:
    """Let the app take over what is new, and paint it."""
    app = pilot.app
    assert isinstance(app, SwarmApp)
    await pilot.pause()
    await app.workers.wait_for_complete()
    for screen in app.screen_stack:
        if isinstance(screen, MainScreen):
            app.refresh_view()
            screen.refresh_panes()
    await app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: "Pilot[int]", *keys: str) -> None:
    """Press keys, settling after each."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def painted(app: SwarmApp) -> str:
    """What stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def svg_of(app: SwarmApp) -> str:
    """The screen as SVG, without the number that Rich makes from all of it: one letter would change every line."""
    return re.sub(r"terminal-\d+-", "", app.export_screenshot())


def main_of(app: SwarmApp) -> MainScreen:
    return next(screen for screen in app.screen_stack if isinstance(screen, MainScreen))


def told(app: SwarmApp) -> str:
    """The notes that are shown to the person."""
    return "\n".join(note.message for note in app._notifications)

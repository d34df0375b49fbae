"""Apps for pilot tests on a made-up swarm whose clock only the test moves, and helpers to wait and look."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from textual.pilot import Pilot

from tui.app import SwarmApp
from tui.bridge import Settings
from tui.screens.main import MainScreen
from tui.sessions.launch import Launch, NewRun, RunPlan
from tui.sessions.session import Session
from tui.style.theme import Palette, Themes, load_themes


def app_on(
    session: Session,
    *,
    theme: str = "midnight",
    plan: RunPlan | None = None,
    level: str = "",
    use_check: Callable[[str], None] = lambda check: None,
    draft_file: Path | None = None,
    keys: dict[str, str] | None = None,
    themes: Mapping[str, Palette] | None = None,
    broken_themes: tuple[str, ...] = (),
) -> SwarmApp:
    """The app on a session; with a plan it opens on the start screen, which finds the sandbox `level`."""
    if themes is None:
        themes, broken = load_themes()
        assert not broken
    new_run = NewRun(plan, lambda: level or plan.sandbox_level, use_check) if plan is not None else None
    launch = Launch(lambda _: session, Settings(keys=keys or {}), new_run, draft_file)
    return SwarmApp(launch, Themes(themes, themes[theme], broken_themes))


async def settle(pilot: "Pilot[int]") -> None:
    """Let the app show what is new."""
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
    """Press keys, and settle after each."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def painted(app: SwarmApp) -> str:
    """The text on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def svg_of(app: SwarmApp) -> str:
    """The screen as SVG, without the number that Rich makes from all of it: one letter would change every line."""
    return re.sub(r"terminal-\d+-", "", app.export_screenshot())


def main_of(app: SwarmApp) -> MainScreen:
    return next(screen for screen in app.screen_stack if isinstance(screen, MainScreen))


def shown_notes(app: SwarmApp) -> str:
    """The notes that are on the screen."""
    return "\n".join(note.message for note in app._notifications)

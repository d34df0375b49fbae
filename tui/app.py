"""The terminal app: `run_app` opens the screen on a session and returns when the person leaves it.

    run_app(open_session, settings=settings, start=None, theme=None, themes_folder=None) -> exit status

`open_session(intent)` makes a session that has not started (`tui.embedded.EmbeddedSession` for an engine in this
process). It is called at once with None when there is a run or an intent to show; with `start`, the start screen
comes first and its text is handed over when the person begins. It must return at once.
"""

from collections.abc import Callable
from pathlib import Path

from tui.bridge import Session, Settings, Start


def run_app(
    open_session: Callable[[str | None], Session],
    *,
    settings: Settings,
    start: Start | None = None,
    theme: str | None = None,
    themes_folder: Path | None = None,
) -> int:
    """Show the app; returns the exit status.

    `theme` overrides the settings' theme; `themes_folder` is searched for a person's own themes. Raises
    SwarmError for a theme or keys that cannot be used, and for what broke the session.
    """
    raise NotImplementedError

"""Shows the app: paints its first frame, then loads it and hands the terminal over."""

import os
from contextlib import suppress

from tui import commands
from tui.bridge import config_folder
from tui.sessions.launch import Launch
from tui.style.theme import choose_theme
from tui.terminal.encoding import paint_in_utf8
from tui.terminal.first_frame import first_frame
from tui.terminal.foreground import Foreground


def show_app(launch: Launch, foreground: Foreground | None = None) -> int:
    """Returns the exit status. With `foreground`, the app runs in a child of this process, and can detach from it.

    Raises SwarmError for an invalid theme or key, and for what broke the session."""
    paint_in_utf8()
    _ignore_fixed_size()
    if foreground is not None and not foreground.enter():
        return foreground.wait()
    themes = choose_theme(launch.settings.theme, config_folder(os.environ) / "themes", os.environ)
    with first_frame(themes.chosen, "starting…" if launch.new_run is None else "a new run") as hand_over:
        return commands.app.run_app(launch, themes, take_terminal=hand_over)


def _ignore_fixed_size() -> None:
    """Forget a size that a shell exported: it stays the same when the terminal changes. Serial lines tell none."""
    with suppress(OSError):
        if all(os.get_terminal_size(1)):
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)

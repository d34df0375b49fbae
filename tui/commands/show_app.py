"""Shows the app: paints its first frame, then loads it and hands the terminal over."""

import os

from tui import commands
from tui.bridge import config_folder
from tui.sessions.launch import Launch
from tui.style.theme import choose_theme
from tui.terminal.encoding import paint_in_utf8
from tui.terminal.first_frame import first_frame


def show_app(launch: Launch) -> int:
    """Returns the exit status. Raises SwarmError for an invalid theme or key, and for what broke the session."""
    paint_in_utf8()
    themes = choose_theme(launch.settings.theme, config_folder(os.environ) / "themes", os.environ)
    with first_frame(themes.chosen, "starting…" if launch.new_run is None else "a new run") as hand_over:
        return commands.app.run_app(launch, themes, take_terminal=hand_over)

"""Shows the app: paints its first frame, then loads it and hands the terminal over."""

import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tui import commands
from tui.bridge import config_folder
from tui.sessions.launch import Launch
from tui.style.theme import choose_theme
from tui.terminal.encoding import paint_in_utf8
from tui.terminal.first_frame import first_frame
from tui.terminal.foreground import Foreground

SWITCH_S = 0.0005
"""The switch interval while the app is loaded: `prepare` waits for git anyway, and should not also wait for the GIL."""


def show_app(
    theme: str, prepare: Callable[[], Launch], foreground: Foreground | None = None, *, subject: str = "starting…"
) -> int:
    """Returns the exit status. With `foreground`, the app runs in a child of this process, and can detach from it.

    `prepare` is called in a thread while the app is loaded, after the first frame, whose header shows `subject`. Raises
    what `prepare` raises, and SwarmError for an invalid theme or key and for an error that ended the session.
    """
    paint_in_utf8()
    _ignore_fixed_size()
    if foreground is not None and not foreground.enter():
        return foreground.wait()
    sys.setswitchinterval(SWITCH_S)
    gc.disable()  # until the app is painted: nearly all objects made until then stay
    themes = choose_theme(theme, config_folder(os.environ) / "themes", os.environ)
    with first_frame(themes.chosen, subject) as hand_over:
        with ThreadPoolExecutor(1) as threads:
            launch = threads.submit(prepare)
            app = commands.app
        try:
            return app.run_app(launch.result(), themes, take_terminal=hand_over)
        finally:
            if foreground is not None:
                foreground.tell_if_alone()


def _ignore_fixed_size() -> None:
    """Forget a size that a shell exported: it stays the same when the terminal changes. Serial lines tell none."""
    with suppress(OSError):
        if all(os.get_terminal_size(1)):
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)

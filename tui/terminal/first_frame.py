"""Opening the app: its first frame is painted by hand, then the screen's library is loaded and takes over.

Loading takes several times as long as everything before it. What is painted meanwhile is what the app paints first:
the empty screen in its theme, and the header.
"""

import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.style import Style

from tui.bridge import Settings
from tui.format.text import EMPTY, Line, Span, cut, width_of
from tui.format.title import title
from tui.sessions.session import Session, Start
from tui.style.theme import Palette, choose_theme, colours_of

HEADER = 2
"""Lines of the header at its least."""


def open_app(
    load: Callable[[], Callable[..., int]],
    open_session: Callable[[str | None], Session],
    *,
    settings: Settings,
    themes_folder: Path,
    start: Callable[[], Start] | None = None,
    draft_file: Path | None = None,
    look: Callable[[], str] | None = None,
    use_check: Callable[[str], None] | None = None,
) -> int:
    """Show the app as `tui.app.run_app` does, beginning at once; returns the exit status.

    `start` is called when the first frame stands. A person's own themes are in `themes_folder`. Raises SwarmError for
    a theme or keys that cannot be used, and for what broke the session.
    """
    themes = choose_theme(settings.theme, themes_folder, os.environ)
    with first_frame(themes.chosen, "starting…" if start is None else "a new run") as taken:
        return load()(
            open_session,
            settings=settings,
            themes=themes,
            start=start() if start is not None else None,
            draft_file=draft_file,
            look=look,
            use_check=use_check,
            before=taken,
        )


@contextmanager
def first_frame(palette: Palette, told: str) -> Iterator[Callable[[], None]]:
    """Hold the terminal until what is given is called: from then on the app has it, and gives it back itself."""
    terminal = sys.__stderr__  # where the app paints too
    if terminal is None or not terminal.isatty():
        yield lambda: None
        return
    before = termios.tcgetattr(terminal)
    stopping = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped program would leave its screen to the shell
    held = True

    def give_back() -> None:
        nonlocal held
        held = False
        with suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(terminal, termios.TCSANOW, before)
        signal.signal(signal.SIGTSTP, stopping)

    silent = [*before]
    silent[3] &= ~termios.ECHO  # keys that come early are the app's, and no text on its screen
    termios.tcsetattr(terminal, termios.TCSANOW, silent)
    try:
        _paint(terminal, palette, told)
        yield give_back
    finally:
        if held:
            give_back()
            with suppress(OSError):
                terminal.write("\x1b[?1049l\x1b[?25h")
                terminal.flush()


def _paint(terminal: TextIO, palette: Palette, told: str) -> None:
    """The empty screen with the header on it, in one write."""
    cells, rows = shutil.get_terminal_size()
    lines = [title(told), *[EMPTY] * (rows - 1)]
    painted = "".join(
        f"\x1b[{row + 1};1H{_drawn(line, palette, cells, 'surface' if row < HEADER else 'background')}"
        for row, line in enumerate(lines)
    )
    terminal.write(f"\x1b[?1049h\x1b[?25l{painted}\x1b[H")
    terminal.flush()


def _drawn(line: Line, palette: Palette, cells: int, ground: str) -> str:
    system = colours_of(os.environ)
    filled = (*cut(line, cells), Span(" " * (cells - width_of(line))))
    below: Style = palette.style(f"on:{ground}")
    return "".join((below + palette.style(span.style)).render(span.text, color_system=system) for span in filled)

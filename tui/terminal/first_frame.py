"""The first frame: painted without Textual, which takes several times as long to load as everything before it.

It is what the app paints first: the empty screen in its theme, and the header.
"""

import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.style import Style

from tui.format.text import EMPTY, Line, Span, cut, width_of
from tui.format.title import title
from tui.style.theme import Palette, colours_of

HEADER = 2
"""Lines of the header at its least."""


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

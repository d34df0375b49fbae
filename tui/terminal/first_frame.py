"""The first frame: an empty screen with a header, painted before Textual is loaded, which takes several times longer.

It looks like the first frame of the app, so that the app takes over without a flicker.
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
"""Lines of the shortest header."""


@contextmanager
def first_frame(palette: Palette, subject: str) -> Iterator[Callable[[], None]]:
    """Paint the frame and keep the terminal. Yields the function that hands it over; without that call, restores it."""
    terminal = sys.__stdout__  # as the app does; stderr may be a file
    if terminal is None or not terminal.isatty():
        yield lambda: None
        return
    before = termios.tcgetattr(terminal)
    before_stop = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a suspended program leaves its screen behind
    kept = True

    def hand_over() -> None:
        nonlocal kept
        kept = False
        with suppress(termios.error):  # the terminal may have closed
            termios.tcsetattr(terminal, termios.TCSANOW, before)
        signal.signal(signal.SIGTSTP, before_stop)

    silent = [*before]
    silent[3] &= ~termios.ECHO  # early keys are for the app, and must not appear on the screen
    termios.tcsetattr(terminal, termios.TCSANOW, silent)
    try:
        _paint(terminal, palette, subject)
        yield hand_over
    finally:
        if kept:
            hand_over()
            with suppress(OSError):
                terminal.write("\x1b[?1049l\x1b[?25h")
                terminal.flush()


def _paint(terminal: TextIO, palette: Palette, subject: str) -> None:
    """Paint the empty screen with the header in a single write."""
    cells, rows = shutil.get_terminal_size()
    lines = [title(subject), *[EMPTY] * (rows - 1)]
    painted = "".join(
        f"\x1b[{row + 1};1H{_rendered(line, palette, cells, 'surface' if row < HEADER else 'background')}"
        for row, line in enumerate(lines)
    )
    terminal.write(f"\x1b[?1049h\x1b[?25l{painted}\x1b[H")
    terminal.flush()


def _rendered(line: Line, palette: Palette, cells: int, ground: str) -> str:
    system = colours_of(os.environ)
    filled = (*cut(line, cells), Span(" " * (cells - width_of(line))))
    below: Style = palette.style(f"on:{ground}")
    return "".join((below + palette.style(span.style)).render(span.text, color_system=system) for span in filled)

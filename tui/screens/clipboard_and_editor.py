"""What leaves the screen: text to the clipboard, to the person's editor and to their pager."""

import asyncio
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.app import SuspendNotSupported

from tui.format.text import clean, one_line
from tui.input.handlers import handles
from tui.widgets.actionable import Actionable, Controller
from tui.widgets.lines import LineView

TMUX_S = 2.0
"""Seconds that tmux is given to take a text."""


class ClipboardAndEditor(Controller):
    """Copies text from the screen, and opens it in the person's editor or pager."""

    def __init__(self, screen: Actionable, readable: Callable[[], LineView | None]) -> None:
        """`readable` is the view whose text the editor and the pager open."""
        super().__init__(screen)
        self._readable = readable

    @handles("global.copy")
    def copy(self) -> None:
        focused = self._screen.screen.focused
        text = clean(focused.copied_text()) if isinstance(focused, LineView) else ""
        if not text:
            self.host.show_note("copy: there is nothing here")
            return
        self.app.copy_to_clipboard(text)  # an escape sequence, which not every terminal takes
        if "TMUX" in os.environ:
            # tmux at its defaults takes the clipboard from no program inside: it is told directly.
            self.app.run_worker(_to_tmux(text), exit_on_error=False)
        lines = text.count("\n") + 1
        self.host.show_note(f"copied {one_line(text)[:60]}" if lines == 1 else f"copied {lines} lines")

    @handles("global.editor")
    def open_in_editor(self) -> None:
        self._open(_editor(), "EDITOR")

    @handles("global.pager")
    def open_in_pager(self) -> None:
        self._open(os.environ.get("PAGER") or "less", "PAGER")

    def _open(self, command: str, variable: str) -> None:
        view = self._readable()
        text = view.copied_text() if view is not None else ""
        if view is None or not text:
            self.host.show_note("there is nothing to read here")
        else:
            _run_on(self._screen, command, variable, view.FILE_NAME, text)


def edit_outside(screen: Actionable, name: str, text: str) -> str | None:
    """Have the person edit a text in their own editor; None when that could not be."""
    return _run_on(screen, _editor(), "EDITOR", name, text)


def _run_on(screen: Actionable, command: str, variable: str, name: str, text: str) -> str | None:
    """Give the terminal to another program, with a copy of the text; the swarm goes on meanwhile.

    Returns what stands in the copy afterwards; None when the program could not be run.
    """
    problem, after = "", None
    with tempfile.TemporaryDirectory(prefix="swarm-tui-") as folder:
        file = Path(folder) / name
        file.write_text(clean(text), encoding="utf-8")
        try:
            words = shlex.split(command)
            with screen.app.suspend():
                problem = _run([*words, str(file)], variable)
            after = file.read_text(encoding="utf-8", errors="replace") if not problem else None
        except ValueError as error:
            problem = f"${variable} is no command: {error}"
        except SuspendNotSupported:
            problem = "this terminal cannot be given away"
        except OSError as error:
            problem = f"what was edited cannot be read: {error.strerror}"
    if problem:
        screen.host.show_note(problem, error=True)
    return after


def _editor() -> str:
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def _run(words: list[str], variable: str) -> str:
    """Run a program in the foreground; returns what went wrong. ctrl+c is the program's, not the swarm's."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        subprocess.run(words, check=False)
    except OSError as error:
        return f"{words[0]} cannot be run: {error.strerror}\nset ${variable}"
    finally:
        signal.signal(signal.SIGINT, before)
    return ""


async def _to_tmux(text: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "tmux", "load-buffer", "-w", "-",
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await asyncio.wait_for(process.communicate(text.encode()), TMUX_S)
    except TimeoutError:
        process.kill()

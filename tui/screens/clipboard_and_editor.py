"""Copies text to the clipboard, and opens it in the person's editor or pager."""

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
"""Seconds that tmux may take to accept the text."""


class ClipboardAndEditor(Controller):
    """Copies the focused text, and opens what the pane shows in an editor or a pager."""

    def __init__(self, screen: Actionable, readable: Callable[[], LineView | None]) -> None:
        """`readable` returns the view whose text the editor and the pager open."""
        super().__init__(screen)
        self._readable = readable

    @handles("global.copy")
    def copy(self) -> None:
        focused = self._screen.screen.focused
        text = clean(focused.copied_text()) if isinstance(focused, LineView) else ""
        if not text:
            self.host.show_note("copy: nothing to copy here")
            return
        self.app.copy_to_clipboard(text)  # by an escape sequence (OSC 52), which not every terminal supports
        if "TMUX" in os.environ:
            # With its default settings tmux ignores that sequence, so its buffer is set directly.
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
            self.host.show_note("nothing to open here")
        else:
            _run_on(self._screen, command, variable, view.FILE_NAME, text)


def edit_outside(screen: Actionable, name: str, text: str) -> str | None:
    """Open the text in the person's editor; returns the edited text, or None if the editor cannot run."""
    return _run_on(screen, _editor(), "EDITOR", name, text)


def _run_on(screen: Actionable, command: str, variable: str, name: str, text: str) -> str | None:
    """Run a program on a copy of the text in the foreground; the run continues meanwhile.

    Returns the contents of the copy afterwards, or None if the program cannot run.
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
            problem = f"${variable} is not a valid command: {error}"
        except SuspendNotSupported:
            problem = "this terminal cannot run another program"
        except OSError as error:
            problem = f"cannot read the edited text: {error.strerror}"
    if problem:
        screen.host.show_note(problem, error=True)
    return after


def _editor() -> str:
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def _run(words: list[str], variable: str) -> str:
    """Run a program in the foreground; returns what went wrong. ctrl+c reaches the program, not this process."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        subprocess.run(words, check=False)
    except OSError as error:
        return f"cannot run {words[0]}: {error.strerror}\nset ${variable} to another program"
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

"""What a person asks of the run: commands sent in order, refusals told, and what can be taken back remembered."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from tui.bridge import Command, SwarmError
from tui.format.text import clean, one_line
from tui.input.handlers import ActionHandler, handles
from tui.input.key_queue import KeysInTurn
from tui.input.keymap import Keymap
from tui.input.undo import History, Step
from tui.sessions.session import Session

T = TypeVar("T")


class CommandSender(ActionHandler, KeysInTurn):
    """An app whose screens send commands to a session."""

    session: Session
    keymap: Keymap

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.history = History()

    def show_note(self, text: str, *, error: bool = False) -> None:
        self.notify(clean(text), severity="error" if error else "information", timeout=6 if error else 3, markup=False)

    def when_done(self, future: "Future[T]", then: Callable[["Future[T]"], None]) -> None:
        async def wait() -> None:
            await asyncio.gather(asyncio.wrap_future(future), return_exceptions=True)
            then(future)

        # A worker, because a plain task would swallow what goes wrong in it.
        self.run_worker(wait(), exit_on_error=True)

    def command(self, command: Command, note: str) -> None:
        self._send([command], lambda: self.show_note(note))

    def send_undoable(self, do: Sequence[Command], undo: Sequence[Command], note: str, label: str) -> None:
        def taken() -> None:
            if undo and label:
                self.history.did(Step(do, undo, label))
            self.show_note(f"{note} · {self.keymap.shown('global.undo')} undoes" if undo and label else note)

        self._send(do, taken)

    @handles("global.undo")
    def undo(self) -> None:
        step = self.history.undo()
        self._send(step.undo, lambda: self.show_note(f"undone: {step.label}"))

    @handles("global.redo")
    def redo(self) -> None:
        step = self.history.redo()
        self._send(step.do, lambda: self.show_note(f"done again: {step.label}"))

    def _send(self, commands: Sequence[Command], taken: Callable[[], None]) -> None:
        """Send commands in order; `taken` is called when all were, else the first refusal is told."""
        futures = [self.session.submit(command) for command in commands]

        async def all_of_them() -> None:
            done = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
            problem = next((each for each in done if isinstance(each, BaseException)), None)
            if problem is None:
                taken()
            else:
                self._refused(problem)

        if futures:
            self.run_worker(all_of_them(), exit_on_error=True)

    def _refused(self, problem: BaseException) -> None:
        if isinstance(problem, SwarmError):
            self.show_note(f"{problem.message}\n{problem.hint}", error=True)
        else:
            self.show_note(one_line(str(problem)) or type(problem).__name__, error=True)

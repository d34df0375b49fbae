"""Sends a person's commands to the run, and undoes them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from tui.bridge import Command, SwarmError
from tui.format.text import one_line
from tui.input.handlers import ActionHandler, handles
from tui.input.keys_in_force import Keymap
from tui.input.undo import UndoHistory, UndoStep
from tui.sessions.session import Session


class _App(Protocol):
    """What sending needs of the app."""

    session: Session
    keymap: Keymap

    def show_note(self, text: str, *, error: bool = False) -> None: ...

    def run_worker(self, work: Coroutine[None, None, None], *, exit_on_error: bool) -> object: ...


class CommandSender(ActionHandler):
    """Sends commands in order, shows why one was refused, and remembers how to undo what was done."""

    def __init__(self, app: _App) -> None:
        self._app = app
        self.history = UndoHistory()

    def send(self, command: Command, note: str) -> None:
        """Send a command; shows the note once it is accepted, or the error."""
        self._send([command], lambda: self._app.show_note(note))

    def send_undoable(self, do: Sequence[Command], undo: Sequence[Command], note: str, label: str) -> None:
        """Send commands; once all are accepted, a key undoes them with `undo`. `label` names what was done."""

        def accepted() -> None:
            if undo and label:
                self.history.did(UndoStep(do, undo, label))
            key = self._app.keymap.shown("global.undo")
            self._app.show_note(f"{note} · {key} undoes" if undo and label else note)

        self._send(do, accepted)

    @handles("global.undo")
    def undo(self) -> None:
        step = self.history.undo()
        self._send(step.undo, lambda: self._app.show_note(f"undone: {step.label}"))

    @handles("global.redo")
    def redo(self) -> None:
        step = self.history.redo()
        self._send(step.do, lambda: self._app.show_note(f"done again: {step.label}"))

    def _send(self, commands: Sequence[Command], accepted: Callable[[], None]) -> None:
        """Send commands in order; calls `accepted` once all are, or shows the first error."""
        futures = [self._app.session.submit(command) for command in commands]

        async def all_of_them() -> None:
            done = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
            problem = next((each for each in done if isinstance(each, BaseException)), None)
            if problem is None:
                accepted()
            else:
                self._refused(problem)

        if futures:
            self._app.run_worker(all_of_them(), exit_on_error=True)

    def _refused(self, problem: BaseException) -> None:
        if isinstance(problem, SwarmError):
            self._app.show_note(f"{problem.message}\n{problem.hint}", error=True)
        else:
            self._app.show_note(one_line(str(problem)) or type(problem).__name__, error=True)

"""What a person did and can undo: each step has the commands that do it and those that undo it."""

from collections.abc import Sequence
from typing import NamedTuple

from tui.bridge import Command


class UndoStep(NamedTuple):
    """One step. `label` names it in notes."""

    do: Sequence[Command]
    undo: Sequence[Command]
    label: str


class UndoHistory:
    """Steps that were done and undone, newest last. A new step clears those that could be redone."""

    def __init__(self) -> None:
        self._done: list[UndoStep] = []
        self._undone: list[UndoStep] = []

    @property
    def undoes(self) -> str:
        """The label of the step that would be undone next; empty if there is none."""
        return self._done[-1].label if self._done else ""

    @property
    def redoes(self) -> str:
        """The label of the step that would be redone next; empty if there is none."""
        return self._undone[-1].label if self._undone else ""

    def did(self, step: UndoStep) -> None:
        self._done.append(step)
        self._undone.clear()

    def undo(self) -> UndoStep:
        """Move the newest step to those that can be redone; there must be one."""
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> UndoStep:
        """Move the last undone step back to those that were done; there must be one."""
        self._done.append(self._undone.pop())
        return self._done[-1]

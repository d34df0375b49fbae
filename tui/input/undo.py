"""What a person did and can take back: each step knows the commands that do it and those that undo it."""

from collections.abc import Sequence
from typing import NamedTuple

from tui.bridge import Command


class UndoStep(NamedTuple):
    """`label` names what was done, for "undone: …"."""

    do: Sequence[Command]
    undo: Sequence[Command]
    label: str


class UndoHistory:
    """Steps done and undone, the newest last. A new step leaves nothing to redo."""

    def __init__(self) -> None:
        self._done: list[UndoStep] = []
        self._undone: list[UndoStep] = []

    @property
    def undoes(self) -> str:
        """What would be undone next; empty for nothing."""
        return self._done[-1].label if self._done else ""

    @property
    def redoes(self) -> str:
        return self._undone[-1].label if self._undone else ""

    def did(self, step: UndoStep) -> None:
        self._done.append(step)
        self._undone.clear()

    def undo(self) -> UndoStep:
        """Take the newest step back; there must be one."""
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> UndoStep:
        self._done.append(self._undone.pop())
        return self._done[-1]

"""The table of folds: what each kind of event changes in a snapshot."""

from collections.abc import Callable
from typing import Any

from engine.domain.events import Event
from engine.state.snapshot import Snapshot

Fold = Callable[[Snapshot, Event, Any], None]
FOLDS: dict[type, Fold] = {}


def folds(kind: type) -> Callable[[Fold], Fold]:
    """Enters the decorated function as the fold of one kind of event."""

    def enter(fold: Fold) -> Fold:
        FOLDS[kind] = fold
        return fold

    return enter

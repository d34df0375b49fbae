"""The table of folds: which function applies which kind of event."""

from collections.abc import Callable
from typing import Any

from engine.domain.events import Event
from engine.state.snapshot import Snapshot

Fold = Callable[[Snapshot, Event, Any], None]
FOLDS: dict[type, Fold] = {}


def folds(kind: type) -> Callable[[Fold], Fold]:
    """Decorates the function that applies one kind of event."""

    def enter(fold: Fold) -> Fold:
        FOLDS[kind] = fold
        return fold

    return enter

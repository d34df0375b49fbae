"""Folds events into a snapshot, in the same way for live runs, resume, replay, the screen and printed output."""

from engine.domain import events as e
from engine.state.fold import agents, notes, run, tasks, trunk
from engine.state.fold.table import FOLDS
from engine.state.snapshot import Snapshot

__all__ = ["agents", "fold", "notes", "run", "tasks", "trunk"]


def fold(snapshot: Snapshot, event: e.Event) -> None:
    """Apply one event. Raises IllegalTransition."""
    FOLDS[type(event.body)](snapshot, event, event.body)
    snapshot.seq, snapshot.at = event.seq, event.at
    snapshot.epoch = max(snapshot.epoch, event.epoch)

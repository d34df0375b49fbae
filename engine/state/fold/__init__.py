"""The fold of events into a snapshot. Live run, resume, replay, screen and printout fold the same events."""

from engine.domain import events as e
from engine.state.fold import agents, run, tasks, trunk
from engine.state.fold.table import FOLDS
from engine.state.snapshot import Snapshot

__all__ = ["agents", "fold", "run", "tasks", "trunk"]


def fold(snapshot: Snapshot, event: e.Event) -> None:
    """Fold one event in. Raises IllegalTransition for a transition that cannot be."""
    FOLDS[type(event.body)](snapshot, event, event.body)
    snapshot.seq, snapshot.at = event.seq, event.at
    snapshot.epoch = max(snapshot.epoch, event.epoch)

"""The one way to change a run's state: events are folded into the snapshot, journaled, and passed to listeners."""

from collections.abc import Callable

from engine.domain.events import Draft, Event
from engine.domain.settings import Settings
from engine.ports.world import World
from engine.runtime.prompts import Prompts
from engine.state.fold import fold
from engine.state.snapshot import Snapshot


class RunRecorder:
    """Owns the snapshot: nothing else changes it. Holds the settings, prompts, times and ids that new events need."""

    def __init__(self, world: World, settings: Settings, prompts: Prompts, snapshot: Snapshot, epoch: int) -> None:
        self.snapshot, self.settings, self.prompts = snapshot, settings, prompts
        self.clock, self.ids = world.clock, world.ids
        self.mask, self.journal = world.mask, world.journal
        self._epoch = epoch
        self._listeners: list[Callable[[Event], None]] = []
        self._consistent = True

    def on_event(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with each event from now on, after it is folded in. It must not block."""
        self._listeners.append(listener)

    def record(self, *drafts: Draft, cause: int | None = None) -> int:
        """Record events atomically; returns the last one's sequence number. Raises IllegalTransition."""
        now, snapshot = self.clock.now(), self.snapshot
        events: list[Event] = []
        try:
            for draft in drafts:
                body = self.mask.value(draft.body)
                event = Event(snapshot.seq + 1, now, self._epoch, body, draft.agent, draft.task, cause)
                fold(snapshot, event)
                events.append(event)
        except BaseException:
            self._consistent = False  # half of the refused event may be in the snapshot: keep no more checkpoints
            raise
        finally:  # only a bug makes the fold refuse an event; those before it are in the snapshot
            self.journal.append(events)
        if self._consistent:
            self.journal.checkpoint(snapshot)
        seq = snapshot.seq
        for event in events:
            for listener in self._listeners:
                listener(event)
        return seq

    async def durable(self, seq: int) -> None:
        """Wait until all events up to `seq` are on disk."""
        await self.journal.durable(seq)

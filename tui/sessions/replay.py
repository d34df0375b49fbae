"""A session that replays a run from its journal, from any event on; the run may still be running.

It runs nothing and writes nothing. The cursor is at the last event applied. The clock advances from event to event at
the chosen speed and skips gaps without events.
"""

import asyncio
from collections import deque
from concurrent.futures import Future

from tui.bridge import (
    AgentId,
    Command,
    ErrorKind,
    Event,
    ExitStatus,
    JournalReader,
    Micros,
    Opening,
    RunFolder,
    Snapshot,
    SwarmError,
    fold,
    landed_patch,
    seq_of,
)
from tui.sessions.as_of_reader import AsOfReader
from tui.sessions.session import CloseMode, Position
from tui.sessions.threaded import ThreadedSession

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0)
TICK_S = 0.1
GAP_S = 2.0
"""Real seconds without an event after which the clock skips to the next one."""
POLL_S = 1.0
"""Seconds between two looks for new events of a running run."""
MOST = 2_000
"""Events folded per tick at most. It limits the speed."""
_PAGE = 300
_EARLIER = 300
_BACK = 500
"""How many events before the cursor a step back keeps a state, so that further steps back are fast."""


class ReplaySession(ThreadedSession):
    """Starts paused at event `at`, or playing at the run's first event."""

    mark = "REPLAY"
    read_only = "this is a replay; nothing is running"
    no_detach = "this is a replay; nothing is running"

    def __init__(self, folder: RunFolder, at: int = 0) -> None:
        super().__init__()
        self.player = self
        self.playing = not at
        self.speed = 1.0
        self._folder = folder
        self.trunk_git = folder.trunk
        self._first = at or 1
        self._run: Snapshot | None = None
        self._near: Snapshot | None = None
        self._ahead: deque[Event] = deque()
        self._clock: Micros = 0
        self._last = 0
        self._began: Micros = 0
        self._last_at: Micros = 0
        self._moving = asyncio.Lock()

    # --- the session's thread ---------------------------------------------------------------------------------

    async def _main(self) -> None:
        try:
            self._log = await JournalReader.open(self._folder.journal)
            self._reader = AsOfReader(self._log, lambda: self._published[1])
            self._began = await self._log.time_of(1)
            await self._read_end()
            await self._go_to(min(self._first, self._last))
            playing = asyncio.create_task(self._play())
            leaving = asyncio.create_task(self._closing.wait())
            await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (playing, leaving):
                task.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)
            if not playing.cancelled():
                self._failure = playing.exception()
        except Exception as error:
            # The person must see what broke the replay; otherwise the error ends with this thread.
            self._failure = error
        self._status = int(ExitStatus.DONE)

    def _snapshot(self) -> Snapshot | None:
        return self._run

    async def _leave(self, mode: CloseMode) -> None:
        self._closing.set()

    async def _read_end(self) -> None:
        """Read the journal's last event. The journal of a running run grows."""
        self._last = await self._log.last_seq()
        self._last_at = await self._log.time_of(self._last)

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        then = looked = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            if now - looked >= POLL_S:
                looked = now
                await self._read_end()
            if self.playing:
                async with self._moving:
                    await self._advance(now - then)
            then = now

    async def _advance(self, seconds: float) -> None:
        """Advance the clock, and apply the events that it passes."""
        assert self._run is not None
        self._clock += int(seconds * self.speed * 1_000_000)
        for _ in range(MOST):
            event = await self._next()
            if event is None:
                self._clock = self._run.at  # no more events yet
                return
            if event.at - self._run.at > GAP_S * self.speed * 1_000_000:
                self._clock = max(self._clock, event.at)
            if event.at > self._clock:
                return
            self._apply(event)
        self._clock = self._run.at

    async def _next(self) -> Event | None:
        """The event after the cursor, without moving the cursor."""
        assert self._run is not None
        if not self._ahead and self._run.seq < self._last:
            self._ahead.extend(await self._log.events(after=self._run.seq, limit=_PAGE))
        return self._ahead[0] if self._ahead else None

    def _apply(self, event: Event) -> None:
        assert self._run is not None
        self._ahead.popleft()
        fold(self._run, event)
        self._add_event(event)
        self._changed.set()

    async def _go_to(self, seq: int) -> None:
        """Move the cursor to event `seq`."""
        async with self._moving:
            if self._run is not None and seq == self._run.seq + 1 and (event := await self._next()) is not None:
                self._apply(event)
            else:
                self._run = await self._state(seq)
                self._ahead.clear()
                earlier = await self._log.events(before=seq + 1, limit=_EARLIER)
                self._clear_events()
                self._tracker = None  # what it knows of the agent is from another time
                for event in reversed(earlier):
                    self._add_event(event)
            self._clock = self._run.at if self._run is not None else 0
        self._publish_snapshot()

    async def _state(self, seq: int) -> Snapshot:
        """The state after an event. Keeps the state a little before it for the next call."""
        near = self._near
        if near is None or not near.seq <= seq <= near.seq + 2 * _BACK:
            near = await self._log.snapshot(max(1, seq - _BACK), Opening(self._show_opening))
            self._near = near
        state = near.copy()
        await self._log.fold(state, seq)
        return state

    # --- the UI thread ----------------------------------------------------------------------------------------

    def now(self) -> Micros:
        return self._clock

    def position(self) -> Position:
        run = self._published[1]
        return Position(run.seq, max(self._last, run.seq), self._began, run.at, max(self._last_at, run.at))

    def toggle(self) -> None:
        self.playing = not self.playing

    def change_speed(self, by: int) -> None:
        at = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - self.speed))
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, at + by))]

    def step(self, by: int) -> "Future[None]":
        self.playing = False

        async def step() -> None:
            if self._run is not None:
                await self._read_end()
                await self._go_to(max(1, min(self._last, self._run.seq + by)))

        return self._in_thread(step)

    def seek(self, text: str) -> "Future[None]":
        async def seek() -> None:
            await self._go_to(await seq_of(self._log, text, self._run.seq if self._run is not None else 1))

        return self._in_thread(seek)

    def ended(self) -> bool:
        """Always true: leaving a replay loses nothing."""
        return True

    def submit(self, command: Command) -> "Future[None]":
        async def refuse() -> None:
            raise SwarmError(ErrorKind.STATE, self.read_only, "to steer a running run: swarm-tui attach RUN")

        return self._in_thread(refuse)

    def diff(self, agent: AgentId) -> "Future[str]":
        async def diff() -> str:
            commit = await self._landed_by(agent)
            if commit is None:
                hint = "go to a later event, after its task landed"
                raise SwarmError(ErrorKind.STATE, "a replay has no workspaces, only landed changes", hint)
            return await landed_patch(self._folder.trunk, commit)

        return self._in_thread(diff)

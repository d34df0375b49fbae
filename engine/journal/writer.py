"""The journal of a live run: one task owns the only write connection and commits queued events in order."""

import asyncio
import heapq
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event
from engine.domain.types import AgentId
from engine.journal import connection, failures
from engine.journal.blobs import Shelf
from engine.journal.body_codec import encode_body
from engine.journal.checkpoints import EVERY, MADE_BY, Chunks
from engine.journal.connection import WriteConnection
from engine.journal.opening import Opening
from engine.journal.projections import project
from engine.journal.queries import JournalReader
from engine.journal.reading import READING
from engine.journal.statements import BLOB, EVENT, Parameters, Write, bounded, execute, write
from engine.journal.untrusted import log_size
from engine.state.recalled import Recalled
from engine.state.snapshot import Snapshot

_LAST_CHECKPOINT = "SELECT coalesce((SELECT seq FROM checkpoints WHERE made_by = ? ORDER BY seq DESC LIMIT 1), 0)"
BATCH = 2_000
"""A transaction with this many events takes no further batch."""
RETRY_S = 1.0
"""Seconds between attempts after a failed write."""
FAR = 10 * EVERY
"""Events between two checkpoints while a long run without checkpoints is opened."""


class SqliteJournal:
    """engine.ports.protocols.Journal over one SQLite file. Use from one event loop.

    While the file cannot be written, events stay queued, every `durable` fails, and writing is retried every RETRY_S
    seconds; `on_failure` is called once. Nothing more is written to a file that turns out to be damaged.
    """

    def __init__(self, path: Path, db: WriteConnection, last_seq: int) -> None:
        self.path = path
        self.last_seq = last_seq
        """The last sequence number that was appended, durable or not."""
        self.durable_seq = last_seq
        self.failure: SwarmError | None = None
        """Why the last write failed; None if it succeeded."""
        self._db = db
        self._shelf = Shelf()
        self._chunks = Chunks()
        self._next_checkpoint = EVERY
        self._due: Snapshot | None = None
        self._calls: deque[Sequence[Event]] = deque()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waits = 0
        self._work = asyncio.Event()
        self._closing = False
        self._damaged = False
        self.on_failure: Callable[[SwarmError], None] | None = None
        """Called with the error when writing begins to fail."""
        self._reader: JournalReader | None = None
        self._owner: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, opening: Opening | None = None) -> "SqliteJournal":
        """Open or create the journal at `path`; its folder must exist and the caller must hold the run's lock.

        Raises SwarmError (journal): not a journal, damaged, written by a newer version, or it cannot be opened.
        """
        db = await connection.open_for_writing(path, opening)
        journal = cls(path, db, await db.run(_last_seq))
        [[checkpoint]] = await db.run(_rows_of, _LAST_CHECKPOINT, (MADE_BY,))
        journal._next_checkpoint = checkpoint + EVERY
        journal._owner = asyncio.create_task(journal._own(), name="journal")
        return journal

    async def state(self, reader: JournalReader, opening: Opening) -> Snapshot:
        """The state after the last event. On the way it stores checkpoints, from which the next call continues if this
        one is stopped. Call it before anything is appended. Raises SwarmError (journal)."""
        snapshot = await reader.checkpoint(self.last_seq) or Snapshot()
        self._chunks, due = reader.chunks.copy(), snapshot.seq + FAR

        async def on_page(at: Snapshot) -> None:
            nonlocal due
            if at.seq >= due:
                due, self._due = at.seq + FAR, at
                await self._write_checkpoint()
            opening.at(READING, at.seq, self.last_seq)

        await reader.fold(snapshot, self.last_seq, on_page)
        if snapshot.seq >= due - FAR + EVERY:
            self._due = snapshot
            await self._write_checkpoint()
            self._next_checkpoint = snapshot.seq + EVERY
        return snapshot

    # --- the protocol ----------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> None:
        """Queue events for one atomic write. Raises ValueError for a gap in the sequence or a closed journal."""
        if self._closing:
            raise ValueError("the journal is closed")
        seq = self.last_seq
        for event in events:
            if event.seq != seq + 1:
                raise ValueError(f"event {event.seq} was appended after event {seq}")
            seq = event.seq
        if events:
            self._calls.append(tuple(events))
            self.last_seq = seq
            self._work.set()

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Queue a checkpoint of the state after the last event, if EVERY events have passed since the last one."""
        if snapshot.seq >= self._next_checkpoint and snapshot.seq == self.last_seq and not self._closing:
            self._next_checkpoint = snapshot.seq + EVERY
            self._due = snapshot.copy()

    async def durable(self, seq: int) -> None:
        """Wait until all events up to `seq` are on disk.

        Raises SwarmError (journal) if an attempt to write them failed, and ValueError if there is no such event.
        """
        if seq <= self.durable_seq:
            return
        if seq > self.last_seq:
            raise ValueError(f"event {seq} was never appended")
        if self._damaged and self.failure is not None:
            raise self.failure
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits += 1
        heapq.heappush(self._waiters, (seq, self._waits, waiter))
        await waiter

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """All durable events after `after`, in order, with whole bodies."""
        reader = await self._read()
        async for event in reader.stream(after):
            yield event

    async def agent_events(self, agent: AgentId) -> list[Event]:
        """The durable events of one agent, in order, with whole bodies."""
        return await (await self._read()).agent_events(agent)

    async def ended_tasks(self, planner: AgentId, names: Collection[str]) -> Recalled:
        """The ended tasks of a planner with these ids or titles, with their agents and handoffs."""
        return await (await self._read()).ended_tasks(planner, names)

    async def close(self) -> None:
        """Write what is queued, then close. Raises SwarmError (journal) if that fails."""
        self._closing = True
        self._work.set()
        if self._owner is not None:
            await self._owner
            self._owner = None
            if self._reader is not None:
                await self._reader.close()
            await self._db.close()
            self._fail_waiters(SwarmError(ErrorKind.JOURNAL, f"{self.path} was closed", "resume the run"))
        if self.failure is not None:
            raise self.failure

    async def _read(self) -> JournalReader:
        if self._reader is None:
            self._reader = await JournalReader.open(self.path)
        return self._reader

    # --- the owner -------------------------------------------------------------------------------------------

    async def _own(self) -> None:
        while True:
            await self._work.wait()
            if not self._calls:
                if self._closing:
                    return
                self._work.clear()
                continue
            try:
                if self.failure is not None:
                    await self._skip_written()
                seq = await self._write_next()
            except Exception as error:
                self._failed(error)
                if self._closing or self._damaged:
                    return
                await self._pause()
            else:
                self._wrote(seq)
                await self._write_checkpoint()

    async def _skip_written(self) -> None:
        """Drop queued batches that are on disk: a commit that failed may have reached it all the same."""
        last = await self._db.run(_last_seq)
        while self._calls and self._calls[0][-1].seq <= last:
            self._calls.popleft()

    async def _write_next(self) -> int:
        """Write as many whole batches as fit into one transaction; they leave the queue after the commit."""
        events: list[Event] = []
        calls = 0
        for call in self._calls:
            if events and (len(events) + len(call) > BATCH or call[0].epoch != events[0].epoch):
                break
            events.extend(call)
            calls += 1
        if not events:
            return self.last_seq
        await self._write(events)
        for _ in range(calls):
            self._calls.popleft()
        return events[-1].seq

    async def _write(self, events: list[Event]) -> None:
        """Write one transaction, or nothing of it: raises whatever goes wrong."""
        if not self.path.exists():  # SQLite would write on into the deleted file
            raise FileNotFoundError("the file was deleted or moved")
        try:
            await self._db.run(self._transact, events)
        except (OverflowError, UnicodeEncodeError, sqlite3.IntegrityError):
            # The event's text holds a value that no column can: columns get the nearest.
            await self._db.run(self._transact, events, bounded)
        await self._bound_log()

    def _transact(
        self, db: sqlite3.Connection, events: list[Event], change: Callable[[Parameters], Parameters] | None = None
    ) -> None:
        writes: list[Write] = []
        try:
            with db:
                db.execute("BEGIN IMMEDIATE")
                rows = list(self._rows(events, writes))
                write(db, EVENT, [change(row) for row in rows] if change else rows)
                write(db, BLOB, self._shelf.take())
                execute(db, [(each, change(values)) for each, values in writes] if change else writes)
        finally:
            self._shelf.take()

    def _rows(self, events: Iterable[Event], writes: list[Write]) -> Iterable[tuple[object, ...]]:
        for event in events:
            body, text = encode_body(event.body, self._shelf)
            clean = event if body is event.body else replace(event, body=body)
            writes.extend(project(clean, self._shelf))
            yield event.seq, event.at, event.epoch, event.kind, event.agent, event.task, event.cause, text

    async def _write_checkpoint(self) -> None:
        """Write the due checkpoint once its events are on disk. It only speeds up opening: failures are ignored."""
        if self._due is None or self._due.seq > self.durable_seq:
            return
        due, self._due = self._due, None
        try:
            await self._db.run(self._chunks.store, due)
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            self._chunks = Chunks()  # some of these may not have been written

    async def _bound_log(self) -> None:
        """Bound the write-ahead log: slow readers block checkpoints; past the limit, wait for them."""
        if log_size(self.path) > 2 * connection.WAL_LIMIT:
            with suppress(sqlite3.Error):  # the events are safe in the log; the next write shows if the disk works
                await self._db.run(_rows_of, "PRAGMA wal_checkpoint(RESTART)")

    def _wrote(self, seq: int) -> None:
        self.durable_seq = seq
        while self._waiters and self._waiters[0][0] <= seq:
            _, _, waiter = heapq.heappop(self._waiters)
            if not waiter.done():
                waiter.set_result(None)
        self.failure = None

    def _failed(self, error: Exception) -> None:
        first = self.failure is None
        self._damaged = failures.is_damage(error)
        if self._damaged:
            self.failure = failures.damaged(self.path, str(error))
        else:
            self.failure = failures.cannot_write(self.path, error)
        self._fail_waiters(self.failure)
        if first and self.on_failure is not None:
            self.on_failure(self.failure)

    def _fail_waiters(self, error: SwarmError) -> None:
        waiters, self._waiters = self._waiters, []
        for _, _, waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    async def _pause(self) -> None:
        """Wait for the next attempt; closing the journal makes it at once."""
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                while not self._closing:
                    await self._work.wait()
                    self._work.clear()
        self._work.set()


def _last_seq(db: sqlite3.Connection) -> int:
    [[last]] = db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchall()
    return int(last)


def _rows_of(db: sqlite3.Connection, sql: str, parameters: Sequence[object] = ()) -> list[Sequence[Any]]:
    return db.execute(sql, parameters).fetchall()

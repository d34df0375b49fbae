"""Reads and folds a journal's events, for replay, resume and screens, within limits on time, size and memory."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite
import msgspec
from msgspec import json

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Body, Event
from engine.domain.types import AgentId, AgentPath, Micros
from engine.journal.blobs import BlobMissing, expanded, read_archived, references, unpack
from engine.journal.body_codec import decode_body, decode_outline
from engine.journal.checkpoints import MADE_BY, Chunks, Parts, size_of
from engine.journal.connection import open_for_reading
from engine.journal.failures import ResultTooLarge, cannot_read, damaged
from engine.journal.opening import Opening
from engine.journal.run_row import LAST_TIME
from engine.journal.untrusted import LOOK, MIB, RESULT, VALUE, Overflow, RowFactory, counted
from engine.state.fold import fold
from engine.state.snapshot import Snapshot

PAGE = 1_000
"""Events per query."""
READING = "reading the run's events"
MOST = 5_000
"""The most rows that one query returns."""
MANY_BLOBS = 100
"""From this many blobs on, two threads unpack them."""
BODY = 16 * MIB
"""The most bytes of an event's own JSON text, without the texts that it refers to."""
STATE = 512 * MIB
"""The bytes of text that are folded before the state is measured; the state may then hold half as many. A run of 10,000
tasks has a few percent of that."""
RATIO = 100
"""How many times larger than its files a journal's texts may be in all; agents' texts reach 5 to 20."""

# The fold needs only small fields of these kinds, which have the largest bodies: their blobs are not read.
_OUTLINE = frozenset({"turn_taken", "tool_finished", "context_compacted"})
_EVENTS = "SELECT seq, at, epoch, kind, agent, task, cause, CAST(body AS BLOB) FROM events"
_BLOBS = "SELECT hash, codec, size, data FROM blobs WHERE hash IN (SELECT value FROM json_each(?))"

_ARCHIVED = """SELECT hash, codec, size, file, place, length FROM archived
  WHERE hash IN (SELECT value FROM json_each(?))"""
_SEQ_AT = """WITH RECURSIVE halved(low, high) AS (
    SELECT 0, coalesce((SELECT max(seq) FROM events), 0) UNION ALL
    SELECT iif((SELECT at FROM events WHERE seq = (low + high + 1) / 2) <= ?1, (low + high + 1) / 2, low),
           iif((SELECT at FROM events WHERE seq = (low + high + 1) / 2) <= ?1, high, (low + high + 1) / 2 - 1)
    FROM halved WHERE low < high
  ) SELECT low FROM halved WHERE low = high"""
_CHECKPOINT = "SELECT seq, parts FROM checkpoints WHERE seq <= ? AND made_by = ? ORDER BY seq DESC LIMIT 1"
_TABLE = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"

Row = Sequence[Any]
OnPage = Callable[[Snapshot], Awaitable[None]]


class EventReader:
    """Reads one journal, whether live or not, and whichever process writes it.

    Every query raises SwarmError (journal) if the file is damaged or the query takes longer than `time_limit` seconds.
    """

    def __init__(self, path: Path, db: aiosqlite.Connection, interrupt: Callable[[], None], time_limit: float) -> None:
        self.path = path
        self._db = db
        self._interrupt = interrupt
        self._unpacked = 0
        self._time_limit = time_limit
        self._deadline = 0.0
        self._one_at_a_time = asyncio.Lock()
        self.chunks = Chunks()
        """Those of the last snapshot read from a checkpoint; a snapshot close to it loads only what differs."""

    @classmethod
    async def open(cls, path: Path, *, time_limit: float = 5.0) -> Self:
        """Raises SwarmError (not_found, journal)."""
        reader = cls(path, *await open_for_reading(path), time_limit)
        await reader._db.set_progress_handler(lambda: time.monotonic() > reader._deadline, LOOK)
        return reader

    async def close(self) -> None:
        await self._db.close()

    # --- events ----------------------------------------------------------------------------------------------

    async def last_seq(self) -> int:
        """The newest sequence number; 0 for an empty journal."""
        return int((await self._query("SELECT coalesce(max(seq), 0) FROM events"))[0][0])

    async def events(
        self, *, before: int | None = None, after: int | None = None, agent: AgentId | None = None, limit: int = 200
    ) -> list[Event]:
        """Events of one agent or of all: the newest below `before`, newest first; with `after`, the next, in order.

        There may be fewer than `limit` if they are large.
        """
        edge, order, start = ("<", "DESC", before or 2**62) if after is None else (">", "ASC", after)
        whose, parameters = ("", [start]) if agent is None else ("agent = ? AND ", [agent, start])
        sql = f"{_EVENTS} WHERE {whose}seq {edge} ? ORDER BY seq {order} LIMIT ?"
        return await self._page(sql, parameters, min(limit, MOST))

    async def stream(self, after: int = 0, until: int | None = None) -> AsyncIterator[Event]:
        """All events after `after`, up to `until` if given, in order, with whole bodies."""
        async for events in self._pages(after, until):
            for event in events:
                yield event

    async def agent_events(self, agent: AgentId) -> list[Event]:
        """The events of one agent, in order, with whole bodies."""
        found: list[Event] = []
        while page := await self.events(after=found[-1].seq if found else 0, agent=agent, limit=PAGE):
            found += page
        return found

    async def run_state(self) -> str:
        """The run's state; empty if the run never began."""
        return str((await self._query("SELECT coalesce((SELECT state FROM runs), '')"))[0][0])

    async def seq_at(self, at: Micros) -> int:
        """The last event at or before `at`, 0 if there is none. A binary search: times rise with sequence numbers."""
        return int((await self._query(_SEQ_AT, (at,)))[0][0])

    async def time_of(self, seq: int) -> Micros:
        """When event `seq` happened; 0 if there is no such event."""
        rows = await self._query("SELECT at FROM events WHERE seq = ?", (seq,))
        if not rows:
            return 0
        if type(rows[0][0]) is not int or not 0 <= rows[0][0] <= LAST_TIME:
            raise damaged(self.path, f"event {seq} has no valid time")
        return int(rows[0][0])

    async def spawned(self, path: AgentPath) -> int | None:
        """The event that spawned the agent at `path`; the newest agent if there were several."""
        rows = await self._query("SELECT id, spawned FROM agents WHERE path = ? ORDER BY id DESC LIMIT 1", (path,))
        if not rows or len(rows[0][0]) > 100:
            return None
        # The event is as old as the agent or slightly younger.
        sql = "SELECT seq FROM events WHERE kind = 'agent_spawned' AND seq > ? AND instr(body, ?) ORDER BY seq LIMIT 1"
        found = await self._query(sql, (await self.seq_at(rows[0][1] - 1), f'"id":{json.encode(rows[0][0]).decode()}'))
        return int(found[0][0]) if found else None

    async def snapshot(self, until: int | None = None, opening: Opening | None = None) -> Snapshot:
        """The fold of all events, or of those up to `until`, starting from the nearest checkpoint.

        Raises SwarmError (journal).
        """
        last = await self.last_seq() if until is None else until
        snapshot = await self.checkpoint(last) or Snapshot()

        async def on_page(at: Snapshot) -> None:
            if opening is not None:
                opening.at(READING, at.seq, last)

        await self.fold(snapshot, last, on_page)
        return snapshot

    async def fold(self, snapshot: Snapshot, until: int, on_page: OnPage | None = None) -> None:
        """Bring a snapshot forward to event `until`, and await `on_page` from time to time between two events.

        Raises SwarmError (journal).
        """
        began = self._unpacked
        async for events in self._pages(snapshot.seq, until, _OUTLINE):
            if self._unpacked - began > STATE:
                if (size := await asyncio.to_thread(size_of, snapshot)) > STATE // 2:
                    raise damaged(self.path, f"the state at event {snapshot.seq} has {size // MIB} MiB of text")
                began = self._unpacked - size
            for event in events:
                if event.seq != snapshot.seq + 1:
                    raise damaged(self.path, f"event {snapshot.seq + 1} is missing")
                try:
                    fold(snapshot, event)
                except Exception as error:
                    raise damaged(self.path, f"event {event.seq} ({event.kind}) does not fit: {error}") from error
            if on_page is not None:
                await on_page(snapshot)

    async def checkpoint(self, until: int) -> Snapshot | None:
        """The newest checkpoint up to event `until`; None if there is none that this program's fold made.

        A checkpoint that cannot be read is ignored: the events are there.
        """
        if not await self._has("checkpoints"):
            return None  # a journal of schema version 1 that was never resumed
        rows = await self._query(_CHECKPOINT, (until, MADE_BY))
        if not rows:
            return None
        try:
            parts = json.decode(rows[0][1], type=Parts)
            blobs = await self._load(parts.hashes() - self.chunks.known())
            snapshot = await asyncio.to_thread(self.chunks.put_together, parts, blobs)
            if snapshot.seq != rows[0][0]:
                raise BlobMissing("the checkpoint is one of another event")
            return snapshot
        except (BlobMissing, msgspec.MsgspecError, SwarmError, ValueError, TypeError, LookupError, RecursionError):
            self.chunks = Chunks()
            return None

    async def _pages(
        self, after: int, until: int | None, outline: frozenset[str] = frozenset()
    ) -> AsyncIterator[list[Event]]:
        until = await self.last_seq() if until is None else until
        sql = f"{_EVENTS} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        most = self._unpacked + RESULT + RATIO * await asyncio.to_thread(_stored, self.path.parent)
        while after < until and (events := await self._page(sql, (after, until), PAGE, outline)):
            if self._unpacked > most:
                found = f"the texts up to event {events[-1].seq} are more than {RATIO} times larger than the file"
                raise damaged(self.path, found)
            yield events
            after = events[-1].seq

    async def _page(
        self, sql: str, parameters: Sequence[object], limit: int, outline: frozenset[str] = frozenset()
    ) -> list[Event]:
        """Up to `limit` events, fewer if they are large."""
        while True:
            try:
                return await self._decode(await self._query(sql, (*parameters, limit)), outline)
            except ResultTooLarge:
                if limit <= 1:
                    raise
                limit = max(1, limit // 8)

    # --- rows into events --------------------------------------------------------------------------------

    async def _decode(self, rows: Sequence[Row], outline: frozenset[str] = frozenset()) -> list[Event]:
        hashes: set[str] = set()
        for row in rows:
            if row[3] not in outline and (b'"blob:' in row[7] or b'"json:' in row[7]):
                hashes |= references(row[7])
        blobs = await self._load(hashes)
        events, size = [], 0
        for seq, at, epoch, kind, agent, task, cause, text in rows:
            try:
                outlined = kind in outline
                whole = len(text) if outlined else expanded(text, blobs)
                size += whole
                if len(text) > BODY or whole > VALUE:
                    raise BlobMissing(
                        f"it has {whole} bytes; the limit is {VALUE // MIB} MiB, {BODY // MIB} of its own"
                    )
                if size > RESULT:
                    raise ResultTooLarge(self.path, f"the events up to {seq} exceed {RESULT // MIB} MiB")
                body: Body = decode_outline(text) if outlined else decode_body(text, blobs)
                event = Event(seq, at, epoch, body, agent, task, cause)
                _check_columns(event)
            except SwarmError:
                raise
            except Exception as error:  # whatever it is, this event's text causes it
                raise damaged(self.path, f"event {seq} ({str(kind)[:40]}): {str(error)[:300]}") from error
            events.append(event)
        self._unpacked += size
        return events

    async def _load(self, hashes: set[str]) -> dict[str, bytes]:
        """Those of the blobs that exist."""
        if not hashes:
            return {}
        wanted = json.encode(sorted(hashes)).decode()
        rows = await self._query(_BLOBS, (wanted,))
        if len(rows) < len(hashes) and await self._has("archived"):
            rows += await self._archived(await self._query(_ARCHIVED, (wanted,)))
        if sum(row[2] for row in rows if isinstance(row[2], int) and row[2] <= VALUE) > RESULT:
            raise ResultTooLarge(self.path, f"texts of {len(rows)} hashes exceed {RESULT // MIB} MiB")
        try:
            if len(rows) <= MANY_BLOBS:
                return _unpacked(rows)
            # Hashing and decompression release the GIL: two threads take half the time.
            parts = await asyncio.gather(*(asyncio.to_thread(_unpacked, rows[part::2]) for part in range(2)))
            return parts[0] | parts[1]
        except BlobMissing as error:
            raise damaged(self.path, str(error)) from error

    async def _archived(self, moved: Sequence[Row]) -> list[Row]:
        """Blobs from archive files beside the journal. Raises SwarmError (journal) if a file is missing."""

        def read() -> list[Row]:
            folder = self.path.parent
            return [(hash, codec, size, read_archived(folder, *where)) for hash, codec, size, *where in moved]

        try:
            return await asyncio.to_thread(read) if moved else []
        except BlobMissing as error:
            raise damaged(self.path, str(error)) from error
        except OSError as error:
            message = f"{error.filename} cannot be read: {error.strerror}; it holds bodies of older events"
            raise SwarmError(ErrorKind.JOURNAL, message, "restore the file to the journal's folder") from error

    async def _has(self, table: str) -> bool:
        """Whether the journal has a table that schema version 1 lacked."""
        return bool((await self._query(_TABLE, (table,)))[0][0])

    # --- the connection --------------------------------------------------------------------------------------

    async def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        return await self._ask(sql, parameters, counted(RESULT))

    async def _named(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._ask(sql, parameters, counted(RESULT, sqlite3.Row))]

    async def _ask(self, sql: str, parameters: Sequence[object], factory: RowFactory) -> list[Any]:
        """All rows, in one turn of the connection's thread, because each turn has to wait for the GIL."""
        async with self._one_at_a_time:
            self._deadline = time.monotonic() + self._time_limit
            self._db.row_factory = factory  # type: ignore[assignment]
            late = asyncio.get_running_loop().call_later(self._time_limit, self._interrupt)  # one long instruction
            try:
                return list(await self._db.execute_fetchall(sql, parameters))
            except Overflow as error:
                raise ResultTooLarge(self.path, str(error)) from error
            except (sqlite3.Error, ValueError, OverflowError, MemoryError) as error:
                raise cannot_read(self.path, error) from error
            finally:
                late.cancel()


def _check_columns(event: Event) -> None:
    """Raises ValueError for columns whose values no writer stores."""
    if type(event.seq) is not int or type(event.at) is not int or not 0 <= event.at <= LAST_TIME:
        raise ValueError("its time is not valid")
    if type(event.epoch) is not int or not isinstance(event.cause, int | None):
        raise ValueError("its epoch or its cause is no number")
    if not isinstance(event.agent, str | None) or not isinstance(event.task, str | None):
        raise ValueError("its agent or its task is no text")


def _stored(folder: Path) -> int:
    """Bytes on disk of the files beside a journal, without the holes in them."""
    return sum(each.lstat().st_blocks * 512 for each in folder.iterdir())


def _unpacked(rows: Sequence[Row]) -> dict[str, bytes]:
    return {row[0]: unpack(*row) for row in rows}

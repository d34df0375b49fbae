"""Opens a journal for writing, or for reading by an event loop."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Thread, Timer
from typing import Concatenate, ParamSpec, TypeVar

import aiosqlite
import msgspec

from engine.journal.failures import cannot_open, damaged
from engine.journal.migration import clean_up, migrate
from engine.journal.opening import Opening
from engine.journal.schema import VERSION
from engine.journal.untrusted import check_files, check_schema, connect, number, open_to_read

P = ParamSpec("P")
T = TypeVar("T")

WAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the write-ahead log is truncated after a checkpoint."""
WAL_PAGES = 4_000
"""Pages of 4 KB in the log that trigger a checkpoint; a large number writes frequently changed pages less often."""
MOST = 1_000_000_000
"""The most bytes of a value that is written: SQLite's own limit."""
_CHECK_S = 0.1
"""Seconds that the check for damage may take."""


class WriteConnection:
    """The one write connection of a journal, which lives in a thread of its own.

    A transaction is one function that runs there: a switch of threads for each statement costs more than the
    statements do.
    """

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._thread = thread

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work` with the connection, in its thread. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, self._db, *args, **kwargs))

    async def close(self) -> None:
        await self.run(sqlite3.Connection.close)
        self._thread.shutdown(wait=False)


async def open_for_writing(path: Path, opening: Opening | None = None) -> WriteConnection:
    """The write connection of a journal, which is created if it does not exist. Raises SwarmError (journal).

    When it is cancelled, it first waits until a migration has stopped.
    """
    opening = opening or Opening()
    thread = ThreadPoolExecutor(1, "journal")
    opened = asyncio.get_running_loop().run_in_executor(thread, open_writer, path, opening)
    try:
        return WriteConnection(await asyncio.shield(opened), thread)
    except asyncio.CancelledError:
        opening.stop()
        await asyncio.wait((opened,))  # the caller releases the run's lock next
        if opened.exception() is None:
            await WriteConnection(opened.result(), thread).close()
        raise
    finally:
        if not opened.done() or opened.exception() is not None:
            thread.shutdown(wait=False)


def open_writer(path: Path, opening: Opening | None = None) -> sqlite3.Connection:
    """A connection that may write to a journal; creates the journal, or migrates it to this version, where necessary.

    Raises SwarmError (journal), and OpeningStopped.
    """
    opening = opening or Opening()
    check_files(path, write=True)
    try:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # only for this user
        db = connect(str(path))
    except (OSError, sqlite3.Error) as error:
        raise cannot_open(path, error) from error
    checked = False
    try:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST)
        for pragma in (
            "synchronous = FULL",
            f"journal_size_limit = {WAL_LIMIT}",
            f"wal_autocheckpoint = {WAL_PAGES}",
            "cache_size = -16384",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        if not number(db, "SELECT EXISTS (SELECT 1 FROM sqlite_schema)") and not number(db, "PRAGMA application_id"):
            migrate(db, path, 0, opening)
        known = check_schema(db, path)
        checked = True
        db.execute("SELECT seq FROM events ORDER BY seq DESC LIMIT 1").fetchall()
        db.execute("PRAGMA journal_mode = WAL").fetchall()  # an unread row would keep an interrupt pending
        if found := damage(db):
            raise damaged(path, found)
        if known < VERSION:
            migrate(db, path, known, opening)
        clean_up(path)
    except (sqlite3.Error, MemoryError, OSError) as error:
        found = damage(db) if checked else ""
        db.close()
        raise cannot_open(path, error, found) from error
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:  # of a migration
        db.close()
        raise damaged(path, str(error)) from error
    except BaseException:
        db.close()
        raise
    return db


async def open_for_reading(path: Path) -> tuple[aiosqlite.Connection, Callable[[], None]]:
    """A connection that cannot write, to a live, finished or crashed journal; and what interrupts its query.

    Raises SwarmError (journal, not_found).
    """
    db = await asyncio.to_thread(open_to_read, path)
    return await _in_a_daemon_thread(db), db.interrupt


async def _in_a_daemon_thread(db: sqlite3.Connection) -> aiosqlite.Connection:
    """A connection whose thread does not outlive the program when an error ends it before the journal is closed.

    aiosqlite's thread is a daemon if the thread that creates it is one.
    """
    made: list[aiosqlite.Connection] = []
    maker = Thread(target=lambda: made.append(aiosqlite.Connection(lambda: db, iter_chunk_size=64)), daemon=True)
    maker.start()
    maker.join()
    return await made[0]


# --- damage --------------------------------------------------------------------------------------------------


def damage(db: sqlite3.Connection) -> str:
    """The first thing that SQLite finds wrong with the file within _CHECK_S; empty when it finds nothing.

    SQLite checks a whole table in one instruction, within which no progress handler runs: it must be interrupted.
    """
    over = Timer(_CHECK_S, db.interrupt)
    over.start()
    try:
        rows = db.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError as error:
        return "" if "interrupted" in str(error) else str(error)
    except (sqlite3.Error, ValueError) as error:
        return str(error)
    finally:
        over.cancel()
        over.join()
    found = " ".join(str(row[0]) for row in rows)
    return "" if found == "ok" else " ".join(found.split())

"""Opens a journal for writing or reading, and makes errors of what goes wrong with the file."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Thread, Timer
from typing import Concatenate, ParamSpec, TypeVar

import aiosqlite

from engine.domain.errors import ErrorKind, SwarmError
from engine.journal.backfill import backfill
from engine.journal.schema import APPLICATION_ID, STEPS, VERSION

P = ParamSpec("P")
T = TypeVar("T")

WAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the write-ahead log is truncated after a checkpoint."""
WAL_PAGES = 4_000
"""Pages of 4 KB in the log that trigger a checkpoint; a large number writes frequently changed pages less often."""
_BUSY_MS = 10_000
_CHECK_S = 0.1
"""Seconds that the check for damage may take."""
LOOK = 20_000
"""SQLite instructions between two calls of the progress handler: well under a millisecond."""


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


async def open_for_writing(path: Path) -> WriteConnection:
    """The write connection of a journal, which is created if it does not exist. Raises SwarmError (journal)."""
    thread = ThreadPoolExecutor(1, "journal")
    try:
        return WriteConnection(await asyncio.get_running_loop().run_in_executor(thread, _open_writer, path), thread)
    except BaseException:
        thread.shutdown(wait=False)
        raise


def _open_writer(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # only for this user
        db = _connect(str(path))
    except (OSError, sqlite3.Error) as error:
        raise cannot_open(path, error) from error
    try:
        for pragma in (
            f"busy_timeout = {_BUSY_MS}",
            "synchronous = FULL",
            f"journal_size_limit = {WAL_LIMIT}",
            f"wal_autocheckpoint = {WAL_PAGES}",
            "cache_size = -16384",
            "temp_store = MEMORY",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        if not _number(db, "SELECT EXISTS (SELECT 1 FROM sqlite_schema)") and not _number(db, "PRAGMA application_id"):
            _migrate(db, 0)
        known = _recognise(db, path)
        db.execute("PRAGMA journal_mode = WAL").fetchall()  # an unread row would keep an interrupt pending
        if found := damage(db):
            raise damaged(path, found)
        if known < VERSION:
            _migrate(db, known)
    except sqlite3.Error as error:
        found = damage(db)
        db.close()
        raise cannot_open(path, error, found) from error
    except BaseException:
        db.close()
        raise
    return db


async def open_for_reading(path: Path) -> aiosqlite.Connection:
    """A connection that cannot write, to a live, finished or crashed journal.

    Raises SwarmError (journal, not_found).
    """
    try:
        db = await _in_a_daemon_thread(await asyncio.to_thread(_readable, path))
    except sqlite3.Error as error:
        raise cannot_open(path, error) from error
    await db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    await db.execute("PRAGMA query_only = ON")
    return db


def _readable(path: Path) -> str:
    """The address under which a journal can be read. Raises SwarmError (journal, not_found), and sqlite3.Error."""
    if not _size(path):
        raise SwarmError(ErrorKind.NOT_FOUND, f"there is no journal at {path}", "see `swarm-tui runs` for the runs")
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        _examine(address, path)
        return address
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise
    # The folder is read-only. Reading a log needs a writable one; without a log the file is complete as it is.
    if log_size(path):
        raise SwarmError(
            ErrorKind.JOURNAL,
            f"{path} was left by a crash, in a read-only folder",
            "copy the folder to a writable place and open the copy",
        )
    address += "&immutable=1"
    _examine(address, path)
    return address


def _examine(address: str, path: Path) -> None:
    with closing(_connect(address)) as db:
        try:
            _recognise(db, path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.Error as error:
            raise cannot_open(path, error, damage(db)) from error


async def _in_a_daemon_thread(address: str) -> aiosqlite.Connection:
    """A connection whose thread does not outlive the program when an error ends it before the journal is closed.

    aiosqlite's thread is a daemon if the thread that creates it is one.
    """
    made: list[aiosqlite.Connection] = []
    maker = Thread(target=lambda: made.append(aiosqlite.connect(address, uri=True, isolation_level=None)), daemon=True)
    maker.start()
    maker.join()
    return await made[0]


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address, uri=address.startswith("file:"), timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def log_size(path: Path) -> int:
    """Bytes of the journal's write-ahead log."""
    return _size(Path(f"{path}-wal"))


def _migrate(db: sqlite3.Connection, version: int) -> None:
    """From an older version, 0 for an empty file, to this one: in one transaction, so that a crash leaves either."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        for step in STEPS[version:]:
            for statement in _statements(step):
                db.execute(statement)
        backfill(db, version)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _number(db: sqlite3.Connection, sql: str) -> int:
    [[value]] = db.execute(sql).fetchall()
    return int(value)


def _recognise(db: sqlite3.Connection, path: Path) -> int:
    """The schema's version. Raises SwarmError (journal) for another program's file, or a newer version's."""
    if _number(db, "PRAGMA application_id") != APPLICATION_ID:
        raise SwarmError(
            ErrorKind.JOURNAL, f"{path} is not a journal of swarm-tui", "name the state folder of a run, or another run"
        )
    version = _number(db, "PRAGMA user_version")
    if version > VERSION:
        raise SwarmError(
            ErrorKind.JOURNAL,
            f"{path} was written by a newer swarm-tui (journal version {version}, this one knows {VERSION})",
            "upgrade swarm-tui",
        )
    db.execute("SELECT seq FROM events ORDER BY seq DESC LIMIT 1").fetchall()
    return version


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


def damaged(path: Path, found: str) -> SwarmError:
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path} is damaged: {found}",
        "nothing was changed; restore the file from a backup, or start a new run",
    )


def cannot_open(path: Path, error: Exception, found: str = "") -> SwarmError:
    """The error for a journal that cannot be opened; `found` is the damage found in it, if any."""
    if found or is_damage(error):
        return damaged(path, found or str(error))
    return SwarmError(
        ErrorKind.JOURNAL, f"{path} cannot be opened: {error}", "check the folder's permissions and the free disk space"
    )


def cannot_write(path: Path, error: Exception) -> SwarmError:
    """The error while events cannot be written."""
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path} cannot be written: {error}",
        "free some disk space and check the folder's permissions; the run continues once writing works",
    )


def cannot_read(path: Path, error: Exception) -> SwarmError:
    """The error for a failed query."""
    if is_damage(error):
        return damaged(path, str(error))
    if "interrupted" in str(error):
        return SwarmError(ErrorKind.JOURNAL, f"a query of {path} timed out", "ask for less at a time")
    if "no such table" in str(error) or "no such column" in str(error):
        message = f"{path} was written by an older swarm-tui and lacks the data for this query"
        return SwarmError(ErrorKind.JOURNAL, message, "resume the run once: that migrates its journal")
    return SwarmError(ErrorKind.JOURNAL, f"{path} cannot be read: {error}", "check the disk")


def is_damage(error: Exception) -> bool:
    """Whether SQLite reports with it that the file is damaged."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError)
    )

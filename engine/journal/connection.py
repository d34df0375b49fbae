"""Opening a journal file: for writing or for reading, and what is said when it cannot be."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiosqlite

from engine.domain.errors import ErrorKind, SwarmError
from engine.journal.backfill import backfill
from engine.journal.schema import APPLICATION_ID, STEPS, VERSION

WAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the write-ahead log is cut back after a checkpoint."""
WAL_PAGES = 4_000
"""Pages of 4 KB in the log after which it is brought into the file: pages that change often are written once."""
_BUSY_MS = 10_000
_CHECK_S = 0.1
"""Seconds that a look for damage may take."""
LOOK = 20_000
"""Instructions of SQLite between two looks at the clock: well under a millisecond."""


async def open_for_writing(path: Path) -> aiosqlite.Connection:
    """The one write connection of a journal, which is made when there is none. Raises SwarmError (journal)."""
    try:
        _make_private(path)
        db = await _connect(str(path))
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
            await db.execute_fetchall(f"PRAGMA {pragma}")
        if await _is_empty(db):
            await _bring_up(db, 0)
        known = await _recognise(db, path)
        await db.execute_fetchall("PRAGMA journal_mode = WAL")  # a row left unread would keep an interruption alive
        await _look_for_damage(db, path)
        if known < VERSION:
            await _bring_up(db, known)
    except sqlite3.Error as error:
        found = await damage(db)
        await db.close()
        raise cannot_open(path, error, found) from error
    except BaseException:
        await db.close()
        raise
    return db


async def open_for_reading(path: Path) -> aiosqlite.Connection:
    """A connection that cannot write, to a live, finished or crashed journal.

    Raises SwarmError (journal, not_found).
    """
    if not _size(path):
        raise SwarmError(ErrorKind.NOT_FOUND, f"there is no journal at {path}", "see `swarm-tui runs` for the runs")
    uri = _uri(path)
    try:
        db = await _connect(f"{uri}?mode=ro")
    except sqlite3.Error as error:
        raise cannot_open(path, error) from error
    try:
        await _prepare_reader(db, path)
    except sqlite3.OperationalError as error:
        await db.close()
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise cannot_open(path, error) from error
        return await _open_in_read_only_folder(path, uri)
    except sqlite3.Error as error:
        found = await damage(db)
        await db.close()
        raise cannot_open(path, error, found) from error
    except BaseException:
        await db.close()
        raise
    return db


async def _open_in_read_only_folder(path: Path, uri: str) -> aiosqlite.Connection:
    """Without a log beside it the file is whole and can be read as it is; a log needs a folder to write in."""
    if log_size(path):
        raise SwarmError(
            ErrorKind.JOURNAL,
            f"{path} was left by a crash, in a folder that cannot be written to",
            "copy the folder to where you may write and open the copy",
        )
    try:
        db = await _connect(f"{uri}?mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise cannot_open(path, error) from error
    try:
        await _prepare_reader(db, path)
    except sqlite3.Error as error:
        await db.close()
        raise cannot_open(path, error) from error
    except BaseException:
        await db.close()
        raise
    return db


def _make_private(path: Path) -> None:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def log_size(path: Path) -> int:
    """Bytes of the journal's write-ahead log."""
    return _size(Path(f"{path}-wal"))


async def _connect(file: str) -> aiosqlite.Connection:
    db = aiosqlite.connect(file, uri=file.startswith("file:"), isolation_level=None)
    # A program that ends by an error, without closing its journals, must not wait for their threads for ever.
    thread = getattr(db, "_thread", None)
    if thread is not None:
        thread.daemon = True
    return await db


async def _prepare_reader(db: aiosqlite.Connection, path: Path) -> None:
    await db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    await db.execute("PRAGMA query_only = ON")
    await _recognise(db, path)


async def _bring_up(db: aiosqlite.Connection, version: int) -> None:
    """From an older version, 0 for an empty file, to this one: in one transaction, so that a crash leaves either."""
    in_its_thread: Callable[..., Awaitable[None]] = db._execute
    await in_its_thread(_step_up, db._conn, version)


def _step_up(db: sqlite3.Connection, version: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        for step in STEPS[version:]:
            for statement in _statements(step):
                db.execute(statement)
        backfill(db, version)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


async def _number(db: aiosqlite.Connection, sql: str) -> int:
    [[value]] = await db.execute_fetchall(sql)
    return int(value)


async def _is_empty(db: aiosqlite.Connection) -> bool:
    return not await _number(db, "SELECT EXISTS (SELECT 1 FROM sqlite_schema)") and not await _number(
        db, "PRAGMA application_id"
    )


async def _recognise(db: aiosqlite.Connection, path: Path) -> int:
    """The schema's version. Raises SwarmError (journal) for another program's file, or a newer one's."""
    if await _number(db, "PRAGMA application_id") != APPLICATION_ID:
        raise SwarmError(
            ErrorKind.JOURNAL, f"{path} is not a journal of swarm-tui", "name the state folder of a run, or another run"
        )
    version = await _number(db, "PRAGMA user_version")
    if version > VERSION:
        raise SwarmError(
            ErrorKind.JOURNAL,
            f"{path} was written by a newer swarm-tui (journal version {version}, this one knows {VERSION})",
            "upgrade swarm-tui",
        )
    await db.execute_fetchall("SELECT seq FROM events ORDER BY seq DESC LIMIT 1")
    return version


# --- damage --------------------------------------------------------------------------------------------------


async def damage(db: aiosqlite.Connection) -> str:
    """The first thing that SQLite finds wrong with the file, looking for a moment; empty when it finds nothing.

    A look at a whole table is one instruction to SQLite, in which it looks at no clock: it must be interrupted.
    """
    over = asyncio.get_running_loop().call_later(_CHECK_S, db._conn.interrupt)
    try:
        rows = await db.execute_fetchall("PRAGMA quick_check(1)")
    except sqlite3.OperationalError as error:
        return "" if "interrupted" in str(error) else str(error)
    except (sqlite3.Error, ValueError) as error:
        return str(error)
    finally:
        over.cancel()
    found = " ".join(str(row[0]) for row in rows)
    return "" if found == "ok" else " ".join(found.split())


async def _look_for_damage(db: aiosqlite.Connection, path: Path) -> None:
    if found := await damage(db):
        raise damaged(path, found)


def damaged(path: Path, found: str) -> SwarmError:
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path} is damaged: {found}",
        "nothing was changed; restore the file from a copy, or start a new run",
    )


def cannot_open(path: Path, error: Exception, found: str = "") -> SwarmError:
    """What to say of a journal that does not open; `found` is what a look for damage found."""
    if found or is_damage(error):
        return damaged(path, found or str(error))
    return SwarmError(
        ErrorKind.JOURNAL, f"{path} cannot be opened: {error}", "check the folder's permissions and the free disk space"
    )


def cannot_write(path: Path, error: Exception) -> SwarmError:
    """What to say while events cannot be written."""
    return SwarmError(
        ErrorKind.JOURNAL,
        f"{path} cannot be written: {error}",
        "free some disk space and check the folder's permissions; the run goes on when it can be written again",
    )


def cannot_read(path: Path, error: Exception) -> SwarmError:
    """What to say when a query fails."""
    if is_damage(error):
        return damaged(path, str(error))
    if "interrupted" in str(error):
        return SwarmError(
            ErrorKind.JOURNAL, f"a query of {path} took too long and was given up", "ask for less at a time"
        )
    if "no such table" in str(error) or "no such column" in str(error):
        message = f"{path} was written by an older swarm-tui and does not hold that"
        return SwarmError(ErrorKind.JOURNAL, message, "resuming the run brings its journal up to date")
    return SwarmError(ErrorKind.JOURNAL, f"{path} cannot be read: {error}", "check the disk")


def is_damage(error: Exception) -> bool:
    """Whether SQLite says with it that the file is not what it should be."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError)
    )

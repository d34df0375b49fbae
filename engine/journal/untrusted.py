"""Opens a journal that anybody may have written: checks its files and its schema before the first query.

A schema is a program: a view in place of a table can run without end, a trigger can change what a writer stores. So
nothing is asked of a journal whose schema differs from the one that this program creates. Values are data: their size,
and the time and memory of each query, are limited.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.journal.failures import cannot_open, foreign
from engine.journal.schema import APPLICATION_ID, STEPS, VERSION

MIB = 1024 * 1024
VALUE = 64 * MIB
"""The most bytes of one value that a reader accepts."""
RESULT = 256 * MIB
"""The most bytes of one query's rows that a reader takes."""
HEAP = 768 * MIB
"""The most memory that SQLite may take in this process."""
OPEN_S = 5.0
"""Seconds that a schema may take to be read: usually under a millisecond."""
BUSY_S = 10.0
LOOK = 20_000
"""SQLite instructions between two calls of the progress handler: well under a millisecond."""
BESIDE = ("", "-wal", "-shm", "-journal")
"""The files of a database that SQLite opens."""

_SUPER = bytes.fromhex("d9d505f920a163d7")
_ROW = 200
"""Bytes that a row takes besides its texts."""
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 1000"
_PRAGMAS = ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY", f"hard_heap_limit = {HEAP}")

RowFactory = Callable[[sqlite3.Cursor, Any], Any]
SchemaRow = tuple[str, str, str, str | None]


class Overflow(sqlite3.DataError):
    """The rows of a query exceed their limit."""


# --- opening -------------------------------------------------------------------------------------------------


def open_to_read(path: Path, wait_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection that cannot write, to a live, finished or crashed journal whose schema is known.

    Raises SwarmError (journal, not_found).
    """
    check_files(path)
    if not path.exists() or not path.stat().st_size:
        raise SwarmError(
            ErrorKind.NOT_FOUND, f"there is no journal at {path_text(path)}", "see `swarm-tui runs` for the runs"
        )
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        try:
            return _checked(address, path, wait_s)
        except sqlite3.OperationalError as error:
            if "unable to open" not in str(error) and "readonly" not in str(error):
                raise
        # The folder is read-only. Reading a log needs a writable one; without a log the file is complete as it is.
        if log_size(path):
            raise SwarmError(
                ErrorKind.JOURNAL,
                f"{path_text(path)} was left by a crash, in a read-only folder",
                "copy the folder to a writable place and open the copy",
            )
        return _checked(f"{address}&immutable=1", path, wait_s)
    except (sqlite3.Error, MemoryError) as error:
        raise cannot_open(path, error) from error


def _checked(address: str, path: Path, wait_s: float) -> sqlite3.Connection:
    db = connect(address, wait_s)
    try:
        db.execute("PRAGMA query_only = ON")
        db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        check_schema(db, path)
        db.execute("SELECT seq FROM events ORDER BY seq DESC LIMIT 1").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def connect(address: str, wait_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection that trusts nothing in the file. Raises sqlite3.Error."""
    db = sqlite3.connect(
        address, uri=address.startswith("file:"), timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    if sys.version_info >= (3, 12):
        db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    for pragma in _PRAGMAS:
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE)
    db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MIB)
    return db


def log_size(path: Path) -> int:
    """Bytes of the journal's write-ahead log."""
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0


# --- files ---------------------------------------------------------------------------------------------------


def check_files(path: Path, *, write: bool = False) -> None:
    """Raises SwarmError (journal) for a link, a pipe or a device where SQLite would open a file.

    To write, there must be no rollback journal that names another file, which SQLite would delete. Creating a journal
    can leave one, which names none.
    """
    for suffix in BESIDE:
        file = Path(f"{path}{suffix}")
        try:
            found = file.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise cannot_open(path, error) from error
        if not stat.S_ISREG(found.st_mode):
            raise foreign(path, f"{file.name} is {_kind(found.st_mode)}")
        if write and suffix == "-journal" and _names_another_file(file, found.st_size):
            raise foreign(path, f"{file.name} names another file for SQLite to delete")


def _names_another_file(file: Path, size: int) -> bool:
    """Whether a rollback journal ends like one of a transaction over several databases."""
    try:
        return size >= 16 and read_regular(file, size - 8, 8) == _SUPER
    except OSError as error:
        raise cannot_open(file, error) from error


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe"}
    return kinds.get(stat.S_IFMT(mode), "a socket or a device")


def read_regular(file: Path, place: int, length: int) -> bytes:
    """Bytes of a file that is no link, pipe or device; fewer if it is shorter. Raises OSError."""
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as source:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, f"it is {_kind(found.st_mode)}", str(file))
        source.seek(min(max(0, place), found.st_size))
        return source.read(min(length, found.st_size))


# --- schema --------------------------------------------------------------------------------------------------


def check_schema(db: sqlite3.Connection, path: Path) -> int:
    """The schema's version. Raises SwarmError (journal) for any schema that this program does not create."""
    with limited(db, OPEN_S, 4 * MIB):
        if number(db, "PRAGMA application_id") != APPLICATION_ID:
            hint = "name the state folder of a run, or another run"
            raise SwarmError(ErrorKind.JOURNAL, f"{path_text(path)} is not a journal of swarm-tui", hint)
        version = number(db, "PRAGMA user_version")
        if version > VERSION:
            raise SwarmError(
                ErrorKind.JOURNAL,
                f"{path_text(path)} was written by a newer swarm-tui "
                f"(journal version {version}, this one knows {VERSION})",
                "upgrade swarm-tui",
            )
        found: list[SchemaRow] = db.execute(_SCHEMA).fetchall()
    expected = schema_rows(max(0, version))
    if strange := set(found) - set(expected):
        kind, name, *_ = min(strange, key=repr)
        raise foreign(path, f"its {str(kind)[:20]!r} {str(name)[:60]!r} is not of version {version}")
    if missing := set(expected) - set(found):
        kind, name, *_ = min(missing)
        raise foreign(path, f"it lacks the {kind} {name}")
    if len(found) > len(expected):
        raise foreign(path, "its schema names something twice")
    return version


@cache
def schema_rows(version: int) -> tuple[SchemaRow, ...]:
    """The schema that this program creates for a version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for step in STEPS[:version]:
            db.executescript(step)
        return tuple(db.execute(_SCHEMA).fetchall())


def number(db: sqlite3.Connection, sql: str) -> int:
    [[value]] = db.execute(sql).fetchall()
    return int(value)


# --- queries -------------------------------------------------------------------------------------------------


@contextmanager
def limited(db: sqlite3.Connection, seconds: float, size: int = RESULT, *, named: bool = False) -> Iterator[None]:
    """Limits the time of all queries inside, and the bytes of their rows; `named` rows are read by column.

    A thread interrupts what runs at the deadline, and then whatever is begun after it.
    """
    before = db.row_factory
    db.row_factory = counted(size, sqlite3.Row if named else _as_it_is)
    done = Event()
    clock = Thread(target=_interrupt_after, args=(seconds, db, done), daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()
        db.row_factory = before


def _interrupt_after(seconds: float, db: sqlite3.Connection, done: Event) -> None:
    over = done.wait(seconds)
    while not over:
        db.interrupt()
        over = done.wait(0.05)


def _as_it_is(cursor: sqlite3.Cursor, row: Any) -> Any:
    return row


def counted(size: int, make: RowFactory = _as_it_is) -> RowFactory:
    """A row factory that raises Overflow once the rows take more than `size` bytes."""
    left = size

    def row_of(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Any:
        nonlocal left
        left -= _ROW
        for value in row:
            if isinstance(value, (str, bytes)):
                left -= len(value)
        if left < 0:
            raise Overflow(f"the rows of a query exceed {size // MIB} MiB")
        return make(cursor, row)

    return row_of

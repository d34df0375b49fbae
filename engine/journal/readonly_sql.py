"""Read-only SQL over a journal for untrusted callers, with limits on time, rows and size."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from msgspec import Struct

from engine.journal.archive import read_archived
from engine.journal.blobs import BlobMissing, unpack
from engine.journal.connection import LOOK, cannot_open
from engine.journal.run_row import Unreadable, glance

TIME_S = 5.0
ROWS = 200
CELL = 2_000
"""Characters shown of one value."""
WHOLE = 12_000
"""Characters of one result."""
_LENGTH = 8 * 1024 * 1024
"""Bytes of any intermediate value; a query that makes a larger one fails."""

_COLUMNS = 100
"""Columns of a result: a whole row is in memory at once."""

_MAY = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_MAY_NOT_CALL = frozenset({"load_extension", "fts3_tokenizer"})


class Table(Struct, frozen=True):
    """A query's result: `text` has a header and a line per row; `cut` says what was left out."""

    text: str
    rows: int
    cut: str = ""


class BadQuery(Exception):  # noqa: N818 - the message goes to the author of the query
    """The query failed; the message says why."""


class ReadOnlySql:
    """Runs queries over one journal; `blob_text(HASH)` returns a large text. Raises SwarmError (journal)."""

    def __init__(self, path: Path) -> None:
        try:
            if glance(path) is None:
                raise Unreadable("it is empty")
        except Unreadable as error:
            raise cannot_open(path, error) from error
        self._folder = path.parent
        self._address = f"{path.absolute().as_uri()}?mode=ro"

    def schema(self) -> str:
        """The CREATE statements of its tables and views, with their comments."""
        with closing(self._connect()) as db:
            rows = db.execute("SELECT sql FROM sqlite_schema WHERE type IN ('table', 'view') AND sql IS NOT NULL")
            return "\n".join(row[0] for row in rows if "sqlite_" not in row[0])

    def query(self, sql: str) -> Table:
        """Raises BadQuery."""
        with closing(self._connect()) as db, _interrupted_after(TIME_S, db):
            db.set_authorizer(_authorise)
            try:
                cursor = db.execute(sql)
                names = [column[0] for column in cursor.description or ()]
                rows = [[_cell(value) for value in row] for row in islice(cursor, ROWS + 1)]
            except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
                why = f"it took longer than {TIME_S:.0f} s" if "interrupted" in str(error) else str(error)
                raise BadQuery(why) from error
        return _table(names, rows)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._address, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA query_only = ON")
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LENGTH)
        db.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, _COLUMNS)
        db.create_function("blob_text", 1, self._blob_text)
        return db

    def _blob_text(self, hash: object) -> str | None:
        with closing(sqlite3.connect(self._address, uri=True, timeout=5.0)) as db:
            row = db.execute("SELECT codec, size, data FROM blobs WHERE hash = ?", (str(hash),)).fetchone()
            if row is None:
                sql = "SELECT codec, size, file, place, length FROM archived WHERE hash = ?"
                moved = db.execute(sql, (str(hash),)).fetchone()
                if moved is None:
                    return None
                row = (*moved[:2], read_archived(self._folder, *moved[2:]))
        try:
            return unpack(str(hash), *row).decode("utf-8", "replace")
        except BlobMissing as error:
            raise ValueError(str(error)) from error


@contextmanager
def _interrupted_after(seconds: float, db: sqlite3.Connection) -> Iterator[None]:
    """A time limit: a progress handler checks the clock, and a timer interrupts long single steps (count(*))."""
    deadline = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > deadline, LOOK)
    timer = threading.Timer(seconds, db.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _authorise(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    if action not in _MAY or (action == sqlite3.SQLITE_FUNCTION and second in _MAY_NOT_CALL):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _table(names: list[str], rows: list[list[str]]) -> Table:
    lines = [" | ".join(names)]
    size = len(lines[0])
    for row in rows[:ROWS]:
        line = " | ".join(row)
        size += len(line) + 1
        if size > WHOLE:
            return Table("\n".join(lines), len(lines) - 1, f"cut after {len(lines) - 1} rows: the result is too long")
        lines.append(line)
    return Table("\n".join(lines), len(lines) - 1, f"cut after {ROWS} rows" if len(rows) > ROWS else "")


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    text = "" if value is None else str(value)
    return text if len(text) <= CELL else f"{text[:CELL]}… ({len(text)} characters)"

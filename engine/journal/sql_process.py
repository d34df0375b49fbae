"""The process in which one untrusted query runs: `python -m engine.journal.sql_process`.

It reads a request as JSON, writes an answer as JSON, and dies at its deadline even if nobody is left to kill it. The
kernel limits its memory, its CPU time, the size of files and their number; SQLite asks before each table and each
function that a query names.
"""

import resource
import signal
import sqlite3
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

from msgspec import Struct, json

from engine.domain.errors import SwarmError
from engine.journal.blobs import BlobMissing, read_archived, unpack
from engine.journal.untrusted import MIB, limited, number, open_to_read, schema_rows

ROWS = 200
CELL = 2_000
"""Characters shown of one value."""
WHOLE = 12_000
"""Characters of one result."""
LENGTH = 8 * MIB
"""Bytes of any intermediate value; a query that makes a larger one fails."""
COLUMNS = 100
"""Columns of a result: a whole row is in memory at once."""
SQL = 100_000
"""Characters of a query."""
MEMORY = 512 * MIB
"""Address space of the process."""
FILES = 32
FILE = 4 * MIB
"""The most bytes of a file that the process makes: SQLite's index of the write-ahead log needs a few hundred KB."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: LENGTH,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * SQL,
    sqlite3.SQLITE_LIMIT_COLUMN: COLUMNS,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 60,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
}
_MAY = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_HARMLESS = """
abs acos acosh asin asinh atan atan2 atanh avg blob_text ceil ceiling char coalesce concat concat_ws cos cosh count
cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format
glob group_concat hex if ifnull iif instr json json_array json_array_length json_error_position json_extract
json_group_array json_group_object json_insert json_object json_patch json_quote json_remove json_replace json_set
json_type json_valid julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max
min mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians random randomblob rank
replace round row_number rtrim sign sin sinh soundex sqrt strftime string_agg substr substring sum tan tanh time
timediff total trim trunc typeof unhex unicode unixepoch unlikely upper zeroblob -> ->>"""
_FUNCTIONS = frozenset(_HARMLESS.split())
_EVERYWHERE = frozenset({"sqlite_schema", "sqlite_master", "json_each", "json_tree"})


class SqlRequest(Struct, frozen=True):
    path: str
    sql: str
    time_s: float


class Table(Struct, frozen=True):
    """A query's result: `text` has a header and a line per row; `cut` says what was left out.

    `error` says instead why there is none; `unreadable` is the hint when that is the journal's fault.
    """

    text: str = ""
    rows: int = 0
    cut: str = ""
    error: str = ""
    unreadable: str = ""


def main() -> None:
    request = json.decode(sys.stdin.buffer.read(), type=SqlRequest)
    _limit(request.time_s)
    try:
        table = _answer(Path(request.path), request.sql, request.time_s)
    except SwarmError as error:
        table = Table(error=error.message, unreadable=error.hint)
    sys.stdout.buffer.write(json.encode(table))


def _limit(time_s: float) -> None:
    processor = int(time_s) + 2
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, time_s + 1.0)


def _answer(path: Path, sql: str, time_s: float) -> Table:
    with closing(open_to_read(path, wait_s=time_s)) as db, closing(open_to_read(path, wait_s=time_s)) as texts:
        schema = schema_rows(number(db, "PRAGMA user_version"))
        tables = {name for kind, name, *_ in schema if kind in ("table", "view")}
        for limit, most in _LIMITS.items():
            db.setlimit(limit, most)
        db.create_function("blob_text", 1, lambda hash: _blob_text(texts, path.parent, hash))

        db.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()  # once made, they need no permission

        def authorise(action: int, first: str | None, second: str | None, *_: object) -> int:
            if action == sqlite3.SQLITE_READ:
                known = first in tables or first in _EVERYWHERE or not second  # counting a common table expression
                return sqlite3.SQLITE_OK if known else sqlite3.SQLITE_DENY
            if action == sqlite3.SQLITE_FUNCTION and second not in _FUNCTIONS:
                return sqlite3.SQLITE_DENY
            return sqlite3.SQLITE_OK if action in _MAY else sqlite3.SQLITE_DENY

        with limited(db, time_s, size=ROWS * COLUMNS * LENGTH):
            db.set_authorizer(authorise)
            try:
                cursor = db.execute(sql)
                names = [column[0] for column in cursor.description or ()]
                rows = [[_cell(value) for value in row] for row in islice(cursor, ROWS + 1)]
            except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
                return Table(error=_why(error, time_s))
    return _table(names, rows)


def too_slow(time_s: float) -> str:
    return f"it took longer than {time_s:.0f} s: add conditions or a LIMIT, and join or make fewer rows"


def too_much() -> str:
    return f"it needs more than {MEMORY // MIB} MiB of memory: make shorter values, and sort or group fewer rows"


def _why(error: Exception, time_s: float) -> str:
    """What the query's author should know, and how to write it smaller."""
    text = str(error)
    if "interrupted" in text:
        return too_slow(time_s)
    if isinstance(error, MemoryError) or "out of memory" in text:
        return too_much()
    if "too big" in text:
        return f"a value is larger than {LENGTH // MIB} MiB: take substr(…) or length(…) of texts, and join fewer"
    if "too many columns" in text:
        return f"{text} (the limit is {COLUMNS}): name the columns that you need"
    if "too large" in text or "too many terms" in text or "too many arguments" in text:
        return f"{text}: split the query into several"
    return text


def _blob_text(db: sqlite3.Connection, folder: Path, hash: object) -> str | None:
    row = db.execute("SELECT codec, size, data FROM blobs WHERE hash = ?", (str(hash),)).fetchone()
    try:
        if row is None:
            sql = "SELECT codec, size, file, place, length FROM archived WHERE hash = ?"
            moved = db.execute(sql, (str(hash),)).fetchone()
            if moved is None:
                return None
            row = (*moved[:2], read_archived(folder, *moved[2:]))
        return unpack(str(hash), *row).decode("utf-8", "replace")
    except BlobMissing as error:
        raise ValueError(str(error)) from error


def _table(names: list[str], rows: list[list[str]]) -> Table:
    lines = [" | ".join(names)[:WHOLE]]
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


if __name__ == "__main__":
    main()

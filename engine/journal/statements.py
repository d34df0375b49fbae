"""The writes of a transaction: prepared statements, batched in an order that gives the same result as one by one."""

import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from msgspec import Struct, json

from engine.domain.bounds import LARGEST
from engine.domain.events import Event
from engine.domain.os_text import utf8_text
from engine.journal.blobs import Shelf

TABLES = (
    "runs",
    "intents",
    "agents",
    "tasks",
    "handoffs",
    "landings",
    "inbox",
    "messages",
    "tool_calls",
    "scratchpads",
    "greens",
    "breaks",
    "pathologies",
    "pivots",
    "samples",
    "agent_samples",
    "tool_use",
    "prompt_use",
    "failures",
    "slow_steps",
    "pauses",
)
"""In the order in which they are written: a statement may read tables that come before its own."""

WIDE = 50
"""Rows per multi-row INSERT."""
_APART = 8

Parameters = Sequence[Any]


class Statement(Struct, frozen=True, eq=False):
    """A prepared write. The writes of one table run in the order of their events, unless they are `apart`.

    Statements with `apart` run after the table's others, in order of that number, where the result is the same:
    consecutive rows of one statement take one call into SQLite, and each call waits for the GIL. `fold` merges
    consecutive rows into fewer with the same effect; `wide` is the statement for WIDE rows.
    """

    table: str
    sql: str
    apart: int = 0
    fold: Callable[[list[Parameters]], Iterable[Parameters]] | None = None
    wide: str = ""


Write = tuple[Statement, Parameters]
Projection = Callable[[Event, Any, Shelf], Iterable[Write]]


class Projections(dict[type, Projection]):
    """Maps the type of an event body to the function that yields its writes."""

    def of(self, kind: type) -> Callable[[Projection], Projection]:
        def register(projection: Projection) -> Projection:
            self[kind] = projection
            return projection

        return register


def insert(table: str, columns: str, rest: str = "", apart: int = 0) -> Statement:
    """A later row with the same id replaces the earlier one, as in the fold, unless `rest` says otherwise."""
    names = columns.split()
    verb = "INSERT" if rest else "INSERT OR REPLACE"
    return _insert(table, f"{verb} INTO {table} ({', '.join(names)}) VALUES ", ", ".join("?" * len(names)), rest, apart)


def _insert(table: str, head: str, row: str, rest: str = "", apart: int = 0) -> Statement:
    return Statement(table, f"{head}({row}){rest}", apart, wide=f"{head}{', '.join([f'({row})'] * WIDE)}{rest}")


def added(keys: int, *columns: Callable[[Iterable[Any]], Any]) -> Callable[[list[Parameters]], list[Parameters]]:
    """A fold that merges rows with equal first `keys` parameters; each other column is combined by its function."""

    def fold(rows: list[Parameters]) -> list[Parameters]:
        of: dict[Parameters, list[Parameters]] = {}
        for row in rows:
            of.setdefault(tuple(row[:keys]), []).append(row[keys:])
        return [
            (*key, *(one(values) for one, values in zip(columns, zip(*same, strict=True), strict=True)))
            for key, same in of.items()
        ]

    return fold


def total(values: Iterable[Any]) -> Any:
    """The sum, capped at SQLite's largest integer; None (unknown) if any value is None."""
    known = list(values)
    return None if None in known else min(sum(known), LARGEST)


def bounded(values: Parameters) -> Parameters:
    """The values, with the nearest that SQLite can hold in place of those that it cannot."""
    return tuple(map(_nearest, values))


def _nearest(value: Any) -> Any:
    if isinstance(value, int):
        return max(-LARGEST - 1, min(value, LARGEST))
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0  # SQLite would store NULL
    return utf8_text(value) if isinstance(value, str) else value


def last(values: Iterable[Any]) -> Any:
    *_, value = values
    return value


def last_known(values: Iterable[Any]) -> Any:
    """The last value that is not None, or None."""
    return next((value for value in reversed(tuple(values)) if value is not None), None)


EVENT = _insert(
    "events",
    "INSERT INTO events (seq, at, epoch, kind, agent, task, cause, body) VALUES ",
    "?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT)",
)
BLOB = _insert("blobs", "INSERT OR IGNORE INTO blobs (hash, codec, size, data) VALUES ", "?, ?, ?, ?")


def json_text(value: object) -> str:
    return json.encode(value).decode()


def execute(db: sqlite3.Connection, writes: list[Write]) -> None:
    """Run the writes of one epoch's events, given in event order."""
    ranked: dict[int, list[Write]] = {}
    for each in writes:
        ranked.setdefault(_rank(each[0]), []).append(each)
    for rank in sorted(ranked):
        for statement, group in groupby(ranked[rank], key=itemgetter(0)):
            rows = [parameters for _, parameters in group]
            write(db, statement, rows if statement.fold is None else list(statement.fold(rows)))


@cache
def _rank(statement: Statement) -> int:
    return TABLES.index(statement.table) * _APART + statement.apart


def write(db: sqlite3.Connection, statement: Statement, rows: Sequence[Parameters]) -> None:
    """Run one statement for many rows, WIDE at a time where possible: each call into SQLite has a cost."""
    wide = len(rows) // WIDE * WIDE if statement.wide else 0
    for at in range(0, wide, WIDE):
        db.execute(statement.wide, list(chain.from_iterable(rows[at : at + WIDE])))
    db.executemany(statement.sql, rows[wide:])

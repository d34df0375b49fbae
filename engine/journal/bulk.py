"""Runs the writes of one transaction with few statements: with each, Python's other threads wait for SQLite's and it
for them, and a journal takes some thousands of rows a second.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from operator import itemgetter

from engine.journal.projections import TABLES, Parameters, Statement, Write

SIZES = (64, 8)
"""Rows of one statement. Few different numbers: SQLite keeps what it has prepared."""

_ORDER = {table: place for place, table in enumerate(TABLES)}


def run(db: sqlite3.Connection, writes: list[Write]) -> None:
    """Raises sqlite3.Error."""
    together: dict[Statement, list[Parameters]] = {}
    apart: list[Write] = []
    for write in writes:
        if write[0].once is None:
            apart.append(write)
        else:
            together.setdefault(write[0], []).append(write[1])
    apart.sort(key=lambda write: _ORDER[write[0].table])
    for statement, group in groupby(apart, key=itemgetter(0)):
        rows = [parameters for _, parameters in group]
        if statement.row:
            insert(db, statement.sql, statement.row, rows)
        else:
            db.executemany(statement.sql, rows)
    for statement, all_rows in together.items():
        assert statement.once is not None
        db.execute(statement.sql, statement.once(all_rows))


def insert(db: sqlite3.Connection, sql: str, row: str, rows: Sequence[Parameters]) -> None:
    """Run an INSERT for all rows, in their order. `row` is the part of `sql` that stands for one."""
    done = 0
    for size in SIZES:
        if len(rows) - done >= size:
            many = sql.replace(row, ", ".join([row] * size), 1)
            while len(rows) - done >= size:
                db.execute(many, _flat(rows[done : done + size]))
                done += size
    db.executemany(sql, rows[done:])


def _flat(rows: Iterable[Parameters]) -> list[object]:
    return list(chain.from_iterable(rows))

"""Migrates a journal of an older version to this one, in steps that a stop or a crash cannot undo.

Adding up totals takes long. It is done first, page by page, in a file beside the journal that also records how far the
work has come. The journal itself changes in one short transaction at the end; until then it has the older version.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from engine.domain.errors import SwarmError
from engine.journal.backfill import PARTS, TABLES, TOTALS
from engine.journal.opening import Opening, OpeningStopped
from engine.journal.schema import APPLICATION_ID, STEPS, VERSION
from engine.journal.statements import execute
from engine.journal.untrusted import LOOK, check_files, connect, number, schema_rows

PAGES = 20
"""Pages of rows between two commits, which take a fraction of a second."""
MIGRATING = "migrating the journal"

# `seq`: the last event that a part of the work has done, for a journal with this version and number of events.
_PROGRESS = "CREATE TABLE progress (part TEXT PRIMARY KEY, version INTEGER, events INTEGER, seq INTEGER) WITHOUT ROWID"
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 1000"


def migrate(db: sqlite3.Connection, path: Path, version: int, opening: Opening) -> None:
    """Migrate from an older version (0: an empty file) to this one.

    Raises OpeningStopped, sqlite3.Error, and what decoding a damaged event raises.
    """
    if 0 < version < TOTALS:
        _add_up(db, path, version, opening)
        db.execute("ATTACH ? AS added", (str(totals_file(path).absolute()),))
        try:
            _change(db, version, opening, TABLES)
        finally:
            db.execute("DETACH added")
    else:
        _change(db, version, opening, ())
    clean_up(path)


def totals_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.migration")


def clean_up(path: Path) -> None:
    """Remove the files that a killed migration leaves beside the journal."""
    for suffix in ("", "-journal"):
        Path(f"{totals_file(path)}{suffix}").unlink(missing_ok=True)


def _change(db: sqlite3.Connection, version: int, opening: Opening, copied: tuple[str, ...]) -> None:
    """Change the schema and copy the totals: one transaction, so that a crash leaves either version."""
    db.set_progress_handler(lambda: opening.stopped, LOOK)
    try:
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            for step in STEPS[version:]:
                for statement in _statements(step):
                    db.execute(statement)
            for table in copied:
                db.execute(f"INSERT INTO main.{table} SELECT * FROM added.{table}")  # noqa: S608 - one of TABLES
    except sqlite3.OperationalError as error:
        if opening.stopped:
            raise OpeningStopped from error
        raise
    finally:
        db.set_progress_handler(None, 0)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


# --- the file beside the journal -----------------------------------------------------------------------------


def _add_up(db: sqlite3.Connection, path: Path, version: int, opening: Opening) -> None:
    """Complete the file with the totals. Continues an earlier migration of the same journal; begins again if there was
    none, or if the file is not one that it would have written."""
    file, events = totals_file(path), number(db, "SELECT coalesce(max(seq), 0) FROM events")
    with suppress(SwarmError, sqlite3.Error, ValueError, TypeError, OverflowError):
        check_files(file, write=True)
        if file.exists():
            with closing(connect(str(file))) as side:
                _go_on(db, side, _done(side, version, events), opening, events)
                return
    clean_up(path)
    with closing(connect(str(file))) as side:
        for sql in _schema():
            side.execute(sql)
        side.executemany("INSERT INTO progress VALUES (?, ?, ?, 0)", [(part, version, events) for part in PARTS])
        _go_on(db, side, dict.fromkeys(PARTS, 0), opening, events)


def _done(side: sqlite3.Connection, version: int, events: int) -> dict[str, int]:
    """The last event that each part has done. Raises ValueError if the file belongs to another state of the journal."""
    rows = side.execute("SELECT part, version, events, seq FROM progress LIMIT 100").fetchall()
    done = {part: seq for part, *of, seq in rows if of == [version, events] and type(seq) is int and 0 <= seq <= events}
    if set(side.execute(_SCHEMA)) != _schema_rows() or len(rows) != len(done) or set(done) != set(PARTS):
        raise ValueError("it belongs to another journal, or to another version of this program")
    return done


def _go_on(
    db: sqlite3.Connection, side: sqlite3.Connection, done: dict[str, int], opening: Opening, events: int
) -> None:
    """Compute the tables from the remaining events, in steps. If `opening` is stopped, commit the last step and raise
    OpeningStopped."""
    pages = 0
    side.execute("BEGIN")
    for part, read in PARTS.items():
        for seq, writes in read(db, done[part]):
            execute(side, writes)
            side.execute("UPDATE progress SET seq = ? WHERE part = ?", (seq, part))
            done[part] = seq
            pages += 1
            if pages % PAGES == 0 or opening.stopped:
                side.execute("COMMIT")
                opening.at(MIGRATING, sum(done.values()), len(PARTS) * events)
                side.execute("BEGIN")
        done[part] = events
    side.execute("COMMIT")


@cache
def _schema() -> tuple[str, ...]:
    """The statements that create the file, with the tables of a journal of this version."""
    tables = [sql for _, _, table, sql in schema_rows(VERSION) if table in TABLES and sql is not None]
    return (*tables, _PROGRESS)


@cache
def _schema_rows() -> frozenset[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:")) as db:
        for sql in _schema():
            db.execute(sql)
        return frozenset(db.execute(_SCHEMA))

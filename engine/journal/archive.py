"""Moves large bodies of old events from a journal into a file beside it; readers find them there.

A body leaves the journal only after the file is synced, so a crash at any point loses nothing.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from engine.journal.blobs import ARCHIVE_NAME, references
from engine.journal.connection import open_writer
from engine.journal.failures import cannot_read
from engine.journal.opening import Opening

_BODIES = """SELECT seq, CAST(body AS BLOB) FROM events WHERE seq > ? AND seq <= ?
  AND (body LIKE '%"blob:%' OR body LIKE '%"json:%') ORDER BY seq LIMIT 1000"""
_ROW = "SELECT hash, codec, size, data FROM blobs WHERE hash = ?"
_MOVED = "INSERT OR REPLACE INTO archived (hash, codec, size, file, place, length) VALUES (?, ?, ?, ?, ?, ?)"


class Archived(Struct, frozen=True):
    """What was moved: how many bodies, their bytes in `file` (None if nothing), and whether the journal shrank."""

    bodies: int
    moved: int
    file: Path | None
    shrunk: bool


def archive(path: Path, until: int, opening: Opening | None = None) -> Archived:
    """Move the blobs that events up to `until` refer to. The caller holds the run's lock; no writer is open.

    Raises SwarmError (journal).
    """
    try:
        with closing(open_writer(path, opening)) as db:
            file = _next_file(db, path)
            bodies = moved = 0
            for hashes in _referred(db, until):
                count, size = _move(db, hashes, file)
                bodies, moved = bodies + count, moved + size
            return Archived(bodies, moved, file if bodies else None, bool(bodies) and _shrink(db, path))
    except (sqlite3.Error, OSError) as error:
        raise cannot_read(path, error) from error


def _next_file(db: sqlite3.Connection, path: Path) -> Path:
    """A new file. Those of a process that was killed before the journal referred to them are removed."""
    used = {file for (file,) in db.execute("SELECT DISTINCT file FROM archived")}
    for each in path.parent.glob("bodies-[0-9]*.bin"):
        if each.name not in used:
            each.unlink()
    numbers = [int(found[1]) for name in used if (found := ARCHIVE_NAME.fullmatch(str(name)))]
    return path.with_name(f"bodies-{max(numbers, default=0) + 1:06}.bin")


def _referred(db: sqlite3.Connection, until: int) -> Iterator[set[str]]:
    """The hashes in event bodies, one page of events at a time."""
    after = 0
    while rows := db.execute(_BODIES, (after, until)).fetchall():
        yield set().union(*(references(row[1]) for row in rows))
        after = rows[-1][0]


def _move(db: sqlite3.Connection, hashes: set[str], file: Path) -> tuple[int, int]:
    """Write to the file and sync it, then delete from the journal; returns the number of blobs and bytes."""
    rows = [row for hash in sorted(hashes) if (row := db.execute(_ROW, (hash,)).fetchone()) is not None]
    if not rows:
        return 0, 0
    moved = []
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "ab") as out:
        for hash, codec, size, data in rows:
            moved.append((hash, codec, size, file.name, out.tell(), len(data)))
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_MOVED, moved)
        db.executemany("DELETE FROM blobs WHERE hash = ?", [(row[0],) for row in rows])
    return len(rows), sum(len(row[3]) for row in rows)


def _shrink(db: sqlite3.Connection, path: Path) -> bool:
    """Return free pages to the disk if there is room for VACUUM's copy; otherwise later events reuse them."""
    if shutil.disk_usage(path.parent).free < 2 * path.stat().st_size:
        return False
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True

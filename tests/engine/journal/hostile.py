"""Makes journals that somebody built to harm their reader, from a good one."""

import hashlib
import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import zstandard

from engine.domain.masking import Mask

NO_MASK = Mask()
GUARDS = ("events_are_not_changed", "events_are_not_deleted", "events_have_no_holes")
LOOP = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t)"


def schema_of(*statements: str) -> Callable[[Path], None]:
    """A journal whose schema these statements have changed."""

    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)

    return spoil


def schema_text(change: str, name: str) -> Callable[[Path], None]:
    """A journal whose statement for `name` is edited: `old -> new`."""
    old, new = change.split(" -> ")

    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA writable_schema = ON")
            found = db.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ? AND instr(sql, ?)",
                (old, new, name, old),
            )
            assert found.rowcount == 1, change
            db.execute("PRAGMA user_version = 8")

    return spoil


def rows_of(*statements: str) -> Callable[[Path], None]:
    """A journal with a good schema whose rows these statements have changed: the guards are taken off meanwhile."""

    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            guards = [db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone() for name in GUARDS]
            for name in GUARDS:
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                db.execute(statement)
            db.execute("DELETE FROM checkpoints")
            for [sql] in guards:
                db.execute(sql)

    return spoil


def bomb(size: int, times: int = 1, same: int = 1) -> Callable[[Path], None]:
    """A journal whose last `times` events name texts of `size` bytes, each `same` times, packed into a few KB."""

    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            last = db.execute("SELECT max(seq) FROM events").fetchone()[0]
            for number in range(times):
                text = b"%07d" % number + bytes(size - 7).replace(b"\0", b"x")
                hash = hashlib.blake2b(text, digest_size=20).hexdigest()
                packed = zstandard.ZstdCompressor(level=19).compress(text)
                db.execute("INSERT OR REPLACE INTO blobs VALUES (?, 'zstd', ?, ?)", (hash, size, packed))
                reference = f'"blob:{hash}:{size}"'
                body = f'{{"kind":"warned","text":{reference}}}'
                if same > 1:
                    body = f'{{"kind":"published","trunk":{reference},"green":null,"left_alone":{reference}}}'
                at = "(SELECT at FROM events WHERE seq = ?)"
                db.execute(
                    f"INSERT INTO events VALUES (?, {at}, 1, 'warned', NULL, NULL, NULL, ?)",
                    (last + 1 + number, last, body),
                )

    return spoil


def claims(sql: str, *parameters: object) -> Callable[[Path], None]:
    """A journal in which one statement with parameters changed a table without guards."""

    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(sql, parameters)

    return spoil


# --- files ---------------------------------------------------------------------------------------------------


def fifo(suffix: str = "") -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = Path(f"{path}{suffix}")
        file.unlink(missing_ok=True)
        os.mkfifo(file)

    return spoil


def folder(suffix: str = "") -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = Path(f"{path}{suffix}")
        file.unlink(missing_ok=True)
        file.mkdir()

    return spoil


def link(to: str, suffix: str = "") -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = Path(f"{path}{suffix}")
        file.unlink(missing_ok=True)
        file.symlink_to(to)

    return spoil


def garbage(suffix: str, size: int = 100_000) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        Path(f"{path}{suffix}").write_bytes(hashlib.shake_256(b"garbage").digest(size))

    return spoil


def sparse(size: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        os.truncate(path, size)

    return spoil


def header(at: int, value: bytes) -> Callable[[Path], None]:
    """A journal with other bytes in the file's first page."""

    def spoil(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[at : at + len(value)] = value
        path.write_bytes(data)

    return spoil


def hot_journal(path: Path) -> None:
    """A rollback journal that names another file, which SQLite would delete."""
    (path.parent / "treasure").write_bytes(b"mine\0")
    name = os.fsencode(path.parent / "treasure")
    page = path.read_bytes()[:4096]
    head = struct.pack(">8sIIIII", bytes.fromhex("d9d505f920a163d7"), 1, 7, 1, 512, 4096)
    check = (7 + sum(page[4096 - 200 * step] for step in range(1, 21))) & 0xFFFFFFFF
    record = struct.pack(">I", 1) + page + struct.pack(">I", check)
    tail = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name))
    Path(f"{path}-journal").write_bytes(head.ljust(512, b"\0") + record + tail + bytes.fromhex("d9d505f920a163d7"))


def looping_pages(path: Path) -> None:
    """Every pointer of the interior pages names the page itself, and freelist and overflow chains go in circles."""
    data = bytearray(path.read_bytes())
    size = struct.unpack(">H", data[16:18])[0] or 65536
    for number in range(1, len(data) // size):
        page = number * size
        kind = data[page]
        if kind in (2, 5):
            data[page + 8 : page + 12] = struct.pack(">I", number + 1)
            cells = struct.unpack(">H", data[page + 3 : page + 5])[0]
            for cell in range(min(cells, 200)):
                [at] = struct.unpack(">H", data[page + 12 + 2 * cell : page + 14 + 2 * cell])
                if at + 4 <= size:
                    data[page + at : page + at + 4] = struct.pack(">I", number + 1)
        elif kind not in (10, 13):
            data[page : page + 4] = struct.pack(">I", number + 1)
    path.write_bytes(data)

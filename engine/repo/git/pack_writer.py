"""Writes packs: new objects, folders as what differs from the ones they came from, with the index beside.

The formats are git's (gitformat-pack): version 2 of both files.
"""

import os
import struct
import tempfile
import zlib
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Literal

from msgspec import Struct

from engine.repo.git.objects import Id, NewHash, NewObjects

_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
_OFS_DELTA = 6
_DEPTH = 40
"""Steps that a reader takes from a folder to one that stands in full; git's own packs have up to 50."""
_LONGEST_DELTA = 1 << 16
_LEVEL = 1
_SHORT = 64
HEADER = 12


class Row(Struct, frozen=True, order=True):
    """Where one object stands in a pack: bytes from its beginning, and the checksum of what is there."""

    oid: Id
    offset: int
    crc: int


class Pack(Struct, frozen=True):
    """A pack on disk: its path without an ending, its size in bytes, what is in it."""

    path: Path
    size: int
    rows: list[Row]

    @property
    def file(self) -> Path:
        return self.path.with_suffix(".pack")


def packed(new: NewObjects) -> tuple[list[bytes], list[Row]]:
    """The body of a pack of all that was made: pieces, and where each object stands in it, counted from HEADER."""
    body: list[bytes] = []
    rows: list[Row] = []
    places: dict[Id, tuple[int, int]] = {}
    at = HEADER
    for oid, (kind, data) in new.made.items():
        base = new.derived.get(oid)
        offset, depth = places.get(base, (0, _DEPTH)) if base is not None else (0, _DEPTH)
        if base is not None and depth < _DEPTH and len(data) < _LONGEST_DELTA:
            delta = _delta(new.made[base][1], data)
            piece = _head(_OFS_DELTA, len(delta)) + _distance(at - offset) + _deflated(delta)
            places[oid] = (at, depth + 1)
        else:
            piece = _head(_KINDS[kind], len(data)) + _deflated(data)
            places[oid] = (at, 0)
        body.append(piece)
        rows.append(Row(oid, at, zlib.crc32(piece)))
        at += len(piece)
    return body, rows


def write_pack(
    folder: Path, body: Iterable[bytes], rows: list[Row], new_hash: NewHash, *, durable: bool = True
) -> Pack:
    """Write `pack-SUM.pack` and `.idx` into `folder`. Raises OSError; then neither is there."""
    pieces = [struct.pack(">4sII", b"PACK", 2, len(rows)), *body]
    total = new_hash(b"".join(pieces)).digest()
    pieces.append(total)
    path = folder / f"pack-{total.hex()}"
    written: list[str] = []
    try:
        for content in (pieces, _index(rows, total, new_hash)):
            fd, name = tempfile.mkstemp(prefix="tmp_pack_", dir=folder)
            written.append(name)
            with open(fd, "wb") as file:
                file.writelines(content)
                file.flush()
                os.fchmod(fd, 0o444)
                if durable:
                    os.fsync(fd)
        for at, ending in enumerate((".pack", ".idx")):
            os.rename(written[at], f"{path}{ending}")
            written[at] = f"{path}{ending}"
        if durable:
            sync_folder(folder)
    except BaseException:
        for name in written:
            Path(name).unlink(missing_ok=True)
        raise
    return Pack(path, sum(map(len, pieces)), rows)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _index(rows: list[Row], total: bytes, new_hash: NewHash) -> list[bytes]:
    """The index of a pack that is smaller than 2 GiB."""
    rows = sorted(rows)
    counts = [0] * 256
    for row in rows:
        counts[row.oid[0]] += 1
    pieces = [
        b"\377tOc\0\0\0\2",
        struct.pack(">256I", *accumulate(counts)),
        b"".join([row.oid for row in rows]),
        struct.pack(f">{len(rows)}I", *[row.crc for row in rows]),
        struct.pack(f">{len(rows)}I", *[row.offset for row in rows]),
        total,
    ]
    return [*pieces, new_hash(b"".join(pieces)).digest()]


def _head(kind: int, size: int) -> bytes:
    """An object's kind and its size when unpacked."""
    out = bytearray()
    byte, size = kind << 4 | size & 15, size >> 4
    while size:
        out.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    out.append(byte)
    return bytes(out)


def _distance(back: int) -> bytes:
    """How far before a delta its base stands."""
    out = [back & 0x7F]
    while back := back >> 7:
        back -= 1
        out.append(0x80 | back & 0x7F)
    return bytes(reversed(out))


def _delta(old: bytes, new: bytes) -> bytes:
    """How `new` comes from `old`: the same beginning, something new, the same end."""
    shorter = min(len(old), len(new))
    start = shorter - _last_other(old[:shorter], new[:shorter], "big")
    rest = shorter - start
    end = rest - _last_other(old[len(old) - rest :], new[len(new) - rest :], "little")
    out = [_size(len(old)), _size(len(new))]
    if start:
        out.append(_copy(0, start))
    between = new[start : len(new) - end]
    for at in range(0, len(between), 127):
        part = between[at : at + 127]
        out.append(bytes([len(part)]) + part)
    if end:
        out.append(_copy(len(old) - end, end))
    return b"".join(out)


def _last_other(old: bytes, new: bytes, order: Literal["big", "little"]) -> int:
    """Where two texts of one length differ last, counted from the end that `order` puts last; 0 when nowhere."""
    return ((int.from_bytes(old, order) ^ int.from_bytes(new, order)).bit_length() + 7) // 8


def _deflated(data: bytes) -> bytes:
    """As zlib writes it; what is too short to gain by it is stored as it is (RFC 1950 and 1951)."""
    if len(data) >= _SHORT:
        return zlib.compress(data, _LEVEL)
    stored = struct.pack("<HH", len(data), ~len(data) & 0xFFFF)
    return b"\x78\x01\x01" + stored + data + struct.pack(">I", zlib.adler32(data))


def _size(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(0x80 | size & 0x7F)
        size >>= 7
    out.append(size)
    return bytes(out)


def _copy(offset: int, size: int) -> bytes:
    """Offset and size are below 2^24; zero bytes of them are left out, and bits say which."""
    out = bytearray()
    bits = 0x80
    for value, first in ((offset, 0), (size, 4)):
        for place in range(3):
            if byte := value >> 8 * place & 0xFF:
                bits |= 1 << first + place
                out.append(byte)
    return bytes([bits]) + bytes(out)

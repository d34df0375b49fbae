"""Writes new objects as a pack with its index. A tree is stored as a delta against the tree it was edited from.

Both files are version 2 of git's formats (gitformat-pack).
"""

import contextlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Literal

from msgspec import Struct

from engine.repo.git.objects import NewHash, NewObjects, ObjectId

_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
_OFS_DELTA = 6
_MAX_DELTA_DEPTH = 40
"""The longest chain of deltas before a tree is stored in full; git's own packs allow 50."""
_MAX_DELTA_SOURCE = 1 << 16
_COMPRESSION_LEVEL = 1
_MIN_COMPRESSED = 64
HEADER_BYTES = 12


class PackEntry(Struct, frozen=True, order=True):
    """Where an object is in a pack: its byte offset, and the CRC-32 of its bytes there."""

    oid: ObjectId
    offset: int
    crc: int


class Pack(Struct, frozen=True):
    """A pack on disk: its path without suffix, its size in bytes, and its entries."""

    path: Path
    size: int
    entries: list[PackEntry]

    @property
    def file(self) -> Path:
        return self.path.with_suffix(".pack")


def pack_body(new: NewObjects) -> tuple[list[bytes], list[PackEntry]]:
    """The body of a pack with all unwritten objects, in pieces, and the entry of each. Offsets include the header."""
    body: list[bytes] = []
    entries: list[PackEntry] = []
    positions: dict[ObjectId, tuple[int, int]] = {}
    at = HEADER_BYTES
    for oid, (kind, data) in new.unwritten.items():
        base = new.delta_bases.get(oid)
        offset, depth = positions.get(base, (0, _MAX_DELTA_DEPTH)) if base is not None else (0, _MAX_DELTA_DEPTH)
        if base is not None and depth < _MAX_DELTA_DEPTH and len(data) < _MAX_DELTA_SOURCE:
            delta = _delta(new.unwritten[base][1], data)
            piece = _entry_header(_OFS_DELTA, len(delta)) + _base_offset(at - offset) + _deflate(delta)
            positions[oid] = (at, depth + 1)
        else:
            piece = _entry_header(_KINDS[kind], len(data)) + _deflate(data)
            positions[oid] = (at, 0)
        body.append(piece)
        entries.append(PackEntry(oid, at, zlib.crc32(piece)))
        at += len(piece)
    return body, entries


def write_pack(
    folder: Path, body: Iterable[bytes], entries: list[PackEntry], new_hash: NewHash, *, durable: bool = True
) -> Pack:
    """Write `pack-CHECKSUM.pack` and `.idx` into `folder`. Raises OSError and then leaves neither file."""
    header = struct.pack(">4sII", b"PACK", 2, len(entries))
    checksum, size = new_hash(header), len(header)
    written: list[str] = []

    def pieces() -> Iterator[bytes]:
        nonlocal size
        yield header
        for piece in body:
            checksum.update(piece)
            size += len(piece)
            yield piece
        yield checksum.digest()

    try:
        with contextlib.ExitStack() as files:
            fds = []
            for content in (pieces, lambda: _index(entries, checksum.digest(), new_hash)):
                fd, name = tempfile.mkstemp(prefix="tmp_pack_", dir=folder)
                written.append(name)
                file = files.enter_context(open(fd, "wb"))
                file.writelines(content())
                file.flush()
                os.fchmod(fd, 0o444)
                fds.append(fd)
            for fd in fds if durable else ():  # both are written by now: the second one takes little longer
                os.fsync(fd)
        path = folder / f"pack-{checksum.digest().hex()}"
        for at, ending in enumerate((".pack", ".idx")):
            os.rename(written[at], f"{path}{ending}")
            written[at] = f"{path}{ending}"
        if durable:
            sync_folder(folder)
    except BaseException:
        for name in written:
            Path(name).unlink(missing_ok=True)
        raise
    return Pack(path, size + len(checksum.digest()), entries)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that created and renamed files survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _index(entries: list[PackEntry], total: bytes, new_hash: NewHash) -> list[bytes]:
    """The index of a pack smaller than 2 GiB."""
    entries = sorted(entries)
    counts = [0] * 256
    for entry in entries:
        counts[entry.oid[0]] += 1
    pieces = [
        b"\377tOc\0\0\0\2",
        struct.pack(">256I", *accumulate(counts)),
        b"".join([entry.oid for entry in entries]),
        struct.pack(f">{len(entries)}I", *[entry.crc for entry in entries]),
        struct.pack(f">{len(entries)}I", *[entry.offset for entry in entries]),
        total,
    ]
    return [*pieces, new_hash(b"".join(pieces)).digest()]


def _entry_header(kind: int, size: int) -> bytes:
    """The header of an object in a pack: its kind and its unpacked size."""
    out = bytearray()
    byte, size = kind << 4 | size & 15, size >> 4
    while size:
        out.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    out.append(byte)
    return bytes(out)


def _base_offset(back: int) -> bytes:
    """Encode the distance from a delta back to its base."""
    out = [back & 0x7F]
    while back := back >> 7:
        back -= 1
        out.append(0x80 | back & 0x7F)
    return bytes(reversed(out))


def _delta(old: bytes, new: bytes) -> bytes:
    """A delta from `old` to `new`: copy the common start, insert the middle, copy the common end."""
    shorter = min(len(old), len(new))
    start = shorter - _last_difference(old[:shorter], new[:shorter], "big")
    rest = shorter - start
    end = rest - _last_difference(old[len(old) - rest :], new[len(new) - rest :], "little")
    out = [_size_bytes(len(old)), _size_bytes(len(new))]
    if start:
        out.append(_copy_instruction(0, start))
    between = new[start : len(new) - end]
    for at in range(0, len(between), 127):
        part = between[at : at + 127]
        out.append(bytes([len(part)]) + part)
    if end:
        out.append(_copy_instruction(len(old) - end, end))
    return b"".join(out)


def _last_difference(old: bytes, new: bytes, order: Literal["big", "little"]) -> int:
    """For texts of equal length: bytes from their first difference to the end (`big`), or from the start through their
    last difference (`little`); 0 when they are equal."""
    return ((int.from_bytes(old, order) ^ int.from_bytes(new, order)).bit_length() + 7) // 8


def _deflate(data: bytes) -> bytes:
    """Compress with zlib; data too short to benefit is stored uncompressed (RFC 1950 and 1951)."""
    if len(data) >= _MIN_COMPRESSED:
        return zlib.compress(data, _COMPRESSION_LEVEL)
    stored = struct.pack("<HH", len(data), ~len(data) & 0xFFFF)
    return b"\x78\x01\x01" + stored + data + struct.pack(">I", zlib.adler32(data))


def _size_bytes(size: int) -> bytes:
    """Encode a size in the header of a delta."""
    out = bytearray()
    while size > 0x7F:
        out.append(0x80 | size & 0x7F)
        size >>= 7
    out.append(size)
    return bytes(out)


def _copy_instruction(offset: int, size: int) -> bytes:
    """Copy `size` bytes from `offset`, both below 2^24. Zero bytes are omitted; flag bits say which bytes follow."""
    out = bytearray()
    bits = 0x80
    for value, first in ((offset, 0), (size, 4)):
        for place in range(3):
            if byte := value >> 8 * place & 0xFF:
                bits |= 1 << first + place
                out.append(byte)
    return bytes([bits]) + bytes(out)

"""Git's index of a checkout as bytes: changed and written here, so that a copy costs no git process.

Version 2 of git's `gitformat-index`. Extensions are left out: git makes them again when it needs them.
"""

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from msgspec import Struct

_HEADER = struct.Struct(">4sII")
_ENTRY = struct.Struct(">8xII8xI8xI20sH")
_LONGEST_NAME = 0xFFF
_MODE_AT, _OID_AT = 24, 40

Entries = dict[bytes, bytes | None]
"""Entries as they stand in the file, by path; None for what is gone."""


class Index(Struct, frozen=True):
    """`paths` in order; the entry of each begins in `body` where `starts` says, and the last of `starts` is its end."""

    paths: list[bytes]
    starts: list[int]
    body: bytes

    def entries(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Path, mode and raw object id of each."""
        for path, at in zip(self.paths, self.starts, strict=False):
            mode = int.from_bytes(self.body[at + _MODE_AT : at + _MODE_AT + 4], "big")
            yield path, mode, self.body[at + _OID_AT : at + _OID_AT + 20]

    def mark(self, path: bytes) -> "Mark | None":
        """What is said of one file; None when it is not there."""
        where = bisect_left(self.paths, path)
        known = where < len(self.paths) and self.paths[where] == path
        return mark(self.body[self.starts[where] : self.starts[where + 1]]) if known else None


class Mark(Struct, frozen=True):
    """What an entry says of a file: mode and raw object id as git has them, and the time that its content is of."""

    mode: int
    oid: bytes
    modified_ns: int


Marks = dict[bytes, Mark | None]
"""By path; None for what is gone."""


def mark(entry: bytes) -> Mark:
    seconds, rest, mode, _, oid, _ = _ENTRY.unpack_from(entry)
    return Mark(mode, oid, seconds * 1_000_000_000 + rest)


def entry(path: bytes, mode: int, oid: bytes, size: int, modified_ns: int) -> bytes:
    """One entry. Of the file's state only what `core.checkStat=minimal` compares is filled in."""
    seconds, rest = divmod(modified_ns, 1_000_000_000)
    fixed = _ENTRY.pack(seconds, rest, mode, size & 0xFFFFFFFF, oid, min(len(path), _LONGEST_NAME))
    return fixed + path + b"\0" * (8 - (_ENTRY.size + len(path)) % 8)


def decode(data: bytes) -> Index:
    """Raises ValueError for what is no index of version 2."""
    magic, version, count = _HEADER.unpack_from(data)
    if magic != b"DIRC" or version != 2:
        raise ValueError("not an index of version 2")
    paths: list[bytes] = []
    starts = [0]
    at = _HEADER.size
    for _ in range(count):
        name = at + _ENTRY.size
        end = data.index(b"\0", name)
        paths.append(data[name:end])
        at += (end - at + 8) // 8 * 8
        starts.append(at - _HEADER.size)
    return Index(paths, starts, data[_HEADER.size : at])


def encode(index: Index, changed: Mapping[bytes, bytes | None]) -> bytes:
    """The file of an index in which `changed` takes the place of what is there."""
    count, at, pieces = len(index.paths), 0, []
    for path in sorted(changed):
        new = changed[path]
        where = bisect_left(index.paths, path)
        known = where < len(index.paths) and index.paths[where] == path
        pieces.append(index.body[at : index.starts[where]])
        at = index.starts[where + known]
        count += (new is not None) - known
        if new is not None:
            pieces.append(new)
    body = _HEADER.pack(b"DIRC", 2, count) + b"".join(pieces) + index.body[at:]
    return body + hashlib.sha1(body, usedforsecurity=False).digest()

"""Reads and writes git's index file, so that a workspace needs no git process to get one.

The format is version 2 of `gitformat-index`. Extensions are left out: git recreates them when it needs them.
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

RawEntries = dict[bytes, bytes | None]
"""Encoded index entries by path; None for a deleted file."""


class Index(Struct, frozen=True):
    """`paths` in order. The entry of `paths[i]` is `body[starts[i]:starts[i + 1]]`."""

    paths: list[bytes]
    starts: list[int]
    body: bytes

    def entries(self) -> Iterator[tuple[bytes, int, bytes]]:
        """Path, mode and raw object id of each entry."""
        for path, at in zip(self.paths, self.starts, strict=False):
            mode = int.from_bytes(self.body[at + _MODE_AT : at + _MODE_AT + 4], "big")
            yield path, mode, self.body[at + _OID_AT : at + _OID_AT + 20]

    def find(self, path: bytes) -> "IndexEntry | None":
        """The entry of one file; None when there is none."""
        where = bisect_left(self.paths, path)
        known = where < len(self.paths) and self.paths[where] == path
        return decode_entry(self.body[self.starts[where] : self.starts[where + 1]]) if known else None


class IndexEntry(Struct, frozen=True):
    """A decoded index entry: the file's git mode, its raw object id, and its modification time."""

    mode: int
    oid: bytes
    modified_ns: int


IndexEntries = dict[bytes, IndexEntry | None]
"""By path; None for a deleted file."""


def decode_entry(entry: bytes) -> IndexEntry:
    seconds, rest, mode, _, oid, _ = _ENTRY.unpack_from(entry)
    return IndexEntry(mode, oid, seconds * 1_000_000_000 + rest)


def encode_entry(path: bytes, mode: int, oid: bytes, size: int, modified_ns: int) -> bytes:
    """One entry. Only the stat fields that `core.checkStat=minimal` compares are filled in."""
    seconds, rest = divmod(modified_ns, 1_000_000_000)
    fixed = _ENTRY.pack(seconds, rest, mode, size & 0xFFFFFFFF, oid, min(len(path), _LONGEST_NAME))
    return fixed + path + b"\0" * (8 - (_ENTRY.size + len(path)) % 8)


def decode_index(data: bytes) -> Index:
    """Decode an index file. Raises ValueError when it is not an index of version 2."""
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


def encode_index(index: Index, changed: Mapping[bytes, bytes | None]) -> bytes:
    """Encode an index file in which the entries in `changed` replace those of `index`."""
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

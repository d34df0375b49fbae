"""Large texts, stored once under their hash and compressed; a short reference takes their place."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import zstandard
from msgspec import json

from engine.journal.untrusted import MIB, VALUE, read_regular

LIMIT = 4096
"""Bytes of a JSON string, without quotes, above which it moves to `blobs`."""
HEAD = 4096
"""Bytes of a large text that its projection keeps for plain SQL."""

# The strings of a JSON text; possessive, so that a long one needs no backtracking stack.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# A quote after a backslash is inside a string; every other quote opens or closes one.
_REFERENCE = re.compile(rb'(?<!\\)"blob:([0-9a-f]{40}):[0-9]+"')
_ANY_REFERENCE = re.compile(rb'"(?:blob|json):([0-9a-f]{40}):[0-9]+"')
_MARK = b'"blob:'
ARCHIVE_NAME = re.compile(r"bodies-([0-9]{1,12})\.bin")
"""The files of archived texts, beside the journal."""


class BlobMissing(Exception):  # noqa: N818 - readers turn it into a SwarmError
    """A referenced blob does not exist, does not match its hash or its size, or is larger than any reader accepts."""


class Blob(NamedTuple):
    """A row of `blobs`. `codec` is `zstd` or `raw`, `size` the number of bytes before compression."""

    hash: str
    codec: str
    size: int
    data: bytes


def hash_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()


class Shelf:
    """Collects the blobs of one transaction. Not thread-safe."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._blobs: dict[str, Blob] = {}

    def put(self, data: bytes) -> str:
        """Add `data`; returns its hash."""
        hash = hash_of(data)
        if hash not in self._blobs:
            packed = self._compressor.compress(data)
            small = len(packed) < len(data)
            self._blobs[hash] = Blob(hash, "zstd" if small else "raw", len(data), packed if small else data)
        return hash

    def take(self) -> list[Blob]:
        """The blobs since the last call."""
        blobs, self._blobs = list(self._blobs.values()), {}
        return blobs

    def shelve(self, text: bytes) -> bytes:
        """The JSON text with references for strings over LIMIT, and for strings that look like a reference."""
        if len(text) <= LIMIT and _MARK not in text:
            return text
        return _STRING.sub(self._shelve_string, text)

    def _shelve_string(self, match: re.Match[bytes]) -> bytes:
        string = match[0]
        if len(string) <= LIMIT + 2 and not string.startswith(_MARK):
            return string
        text = json.decode(string, type=str).encode()
        return b'"blob:%s:%d"' % (self.put(text).encode(), len(text))

    def head(self, text: str) -> tuple[str, int, str | None]:
        """A text for a projection: its first HEAD bytes, its size in bytes, and its blob if it is longer."""
        if len(text) * 4 <= HEAD:
            return text, len(text) if text.isascii() else len(text.encode()), None
        data = text.encode()
        if len(data) <= HEAD:
            return text, len(data), None
        return data[:HEAD].decode(errors="ignore"), len(data), self.put(data)


def references(text: bytes) -> set[str]:
    """The hashes that a JSON text may refer to; hostile text can name hashes that do not exist."""
    return {hash.decode() for hash in _ANY_REFERENCE.findall(text)}


def expanded(text: bytes, blobs: Mapping[str, bytes]) -> int:
    """The bytes of the JSON text and of all that it refers to, each as often as it does."""
    if not blobs:
        return len(text)
    return len(text) + sum(len(blobs.get(hash.decode(), b"")) for hash in _ANY_REFERENCE.findall(text))


def restore(text: bytes, blobs: Mapping[str, bytes]) -> bytes:
    """The JSON text with its references replaced by their strings. Raises BlobMissing."""

    def whole(match: re.Match[bytes]) -> bytes:
        return json.encode(blob(match[1].decode(), blobs).decode())

    return _REFERENCE.sub(whole, text) if _MARK in text else text


def blob(hash: str, blobs: Mapping[str, bytes]) -> bytes:
    """Raises BlobMissing."""
    try:
        return blobs[hash]
    except KeyError:
        raise BlobMissing(f"blob {hash} is missing") from None


def unpack(hash: str, codec: str, size: int, data: bytes) -> bytes:
    """The uncompressed bytes of a row of `blobs`. Raises BlobMissing if they do not match the row.

    A frame names its own size, and memory for that is taken at once: it has to be the row's.
    """
    if not isinstance(size, int) or not 0 <= size <= VALUE:
        raise BlobMissing(f"blob {hash} claims to have {size!r:.30} bytes; the limit is {VALUE // MIB} MiB")
    try:
        if codec == "zstd" and zstandard.frame_content_size(data) not in (-1, size):
            raise BlobMissing(f"blob {hash} unpacks to another size than the {size} bytes that its row names")
        whole = zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if codec == "zstd" else data
    except (zstandard.ZstdError, TypeError, MemoryError) as error:
        raise BlobMissing(f"blob {hash} cannot be unpacked: {error}") from error
    if not isinstance(whole, bytes) or len(whole) != size or hash_of(whole) != hash:
        raise BlobMissing(f"blob {hash} does not match its hash")
    return whole


def read_archived(folder: Path, file: object, place: object, length: object) -> bytes:
    """The bytes of a row of `archived`. Raises OSError, and BlobMissing for a row that archiving did not write."""
    if not isinstance(file, str) or not ARCHIVE_NAME.fullmatch(file):
        raise BlobMissing(f"a text is said to lie in {str(file)[:60]!r}, which is no file of archived texts")
    if not isinstance(place, int) or not isinstance(length, int) or not 0 <= length <= VALUE:
        raise BlobMissing(f"the place of a text in {file} is not valid")
    return read_regular(folder / file, place, length)

"""Large texts, stored once under their hash and compressed; a short reference takes their place."""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

import zstandard
from msgspec import json

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


class BlobMissing(Exception):  # noqa: N818 - readers turn it into a SwarmError
    """A referenced blob does not exist, or its bytes do not match its hash."""


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
    """The uncompressed bytes of a row of `blobs`. Raises BlobMissing if they do not match the hash."""
    try:
        whole = zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if codec == "zstd" else data
    except zstandard.ZstdError as error:
        raise BlobMissing(f"blob {hash} cannot be unpacked: {error}") from error
    if hash_of(whole) != hash:
        raise BlobMissing(f"blob {hash} does not match its hash")
    return whole

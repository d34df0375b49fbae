"""Finds commits by id with a few bytes for each, for maps that grow with each landing of a long run."""

from array import array
from bisect import bisect_left
from hashlib import blake2b

from engine.domain.types import CommitId

RECENT = 4_096
"""How many positions a dict holds before they move to lists sorted by number."""


class Positions:
    """The position of each of many ids, the newest if an id was added again. Ids are told apart by a 64-bit hash."""

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._older: list[tuple[array[int], array[int]]] = []
        """Lists of sorted numbers, each with the positions that belong to them; the newest list first."""

    def add(self, id: str, position: int) -> None:
        self._recent[_key(id)] = position
        if len(self._recent) >= RECENT:
            keys = sorted(self._recent)
            self._older.insert(0, (array("Q", keys), array("I", [self._recent[key] for key in keys])))
            self._recent = {}

    def get(self, id: str) -> int | None:
        key = _key(id)
        if (position := self._recent.get(key)) is not None:
            return position
        for keys, positions in self._older:
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                return positions[at]
        return None


def _key(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest())


class CommitMap:
    """A commit for each of many ids."""

    def __init__(self) -> None:
        self._positions, self._commits = Positions(), bytearray()

    def __contains__(self, id: str) -> bool:
        return self._positions.get(id) is not None

    def get(self, id: str) -> CommitId | None:
        at = self._positions.get(id)
        return None if at is None else CommitId(self._commits[at + 1 : at + 1 + self._commits[at]].hex())

    def add(self, id: str, commit: CommitId) -> None:
        packed = bytes.fromhex(commit)
        self._positions.add(id, len(self._commits))
        self._commits += bytes([len(packed)]) + packed

"""The packs that landings write, kept few: many small ones become a larger one, byte for byte."""

from pathlib import Path

from msgspec.structs import replace

from engine.repo.git.objects import Id, NewHash, NewObjects
from engine.repo.git.pack_writer import HEADER, Pack, Row, packed, write_pack

_AT_ONCE = 16
"""Packs of a tier that become one of the next."""
_LARGEST = 64 << 20
"""Bytes; a larger pack is left as it is, for whoever repacks the whole."""


class Packs:
    """The packs that this process has written into `folder`, by tier. One call at a time.

    Packs of earlier processes, and those that someone else takes away, are not its business.
    """

    def __init__(self, folder: Path, new_hash: NewHash) -> None:
        self._folder = folder
        self._new_hash = new_hash
        self._tiers: list[list[Pack]] = [[]]
        self._known: set[Id] = set()
        self._replaced: list[Pack] = []

    def add(self, new: NewObjects) -> None:
        """Write what was made into a pack, durably. Raises OSError."""
        for oid in new.made.keys() & self._known:
            del new.made[oid]  # no object twice in packs that may become one
        pack = write_pack(self._folder, *packed(new), self._new_hash)
        self._known.update(row.oid for row in pack.rows)
        self._tiers[0].append(pack)

    def roll_up(self) -> bool:
        """Bring full tiers into a pack each; whether there were any. A disk that refuses leaves all as it is."""
        joined = False
        for tier in range(len(self._tiers)):
            if len(self._tiers[tier]) >= _AT_ONCE:
                try:
                    self._join(tier)
                    joined = True
                except OSError:
                    break
        return joined

    def _join(self, tier: int) -> None:
        packs = [pack for pack in self._tiers[tier] if pack.file.exists()]
        bodies: list[bytes] = []
        rows: list[Row] = []
        at = HEADER
        for pack in packs:
            body = pack.file.read_bytes()[HEADER : -len(self._new_hash(b"").digest())]
            rows += [replace(row, offset=row.offset - HEADER + at) for row in pack.rows]
            bodies.append(body)
            at += len(body)
        joined = write_pack(self._folder, bodies, rows, self._new_hash) if packs else None
        self._remove(self._replaced)  # those of the time before: nobody is about to open them any more
        self._replaced = packs
        self._tiers[tier] = []
        if tier + 1 == len(self._tiers):
            self._tiers.append([])
        if joined is not None and joined.size < _LARGEST:
            self._tiers[tier + 1].append(joined)
        self._known = {row.oid for tiers in self._tiers for pack in tiers for row in pack.rows}

    def _remove(self, packs: list[Pack]) -> None:
        for pack in packs:
            pack.path.with_suffix(".idx").unlink(missing_ok=True)
            pack.file.unlink(missing_ok=True)

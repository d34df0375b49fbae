"""Keeps the number of packs small while landings write many: joins small packs into larger ones, byte for byte."""

from pathlib import Path

from msgspec.structs import replace

from engine.repo.git.objects import NewHash, NewObjects, ObjectId
from engine.repo.git.pack_writer import HEADER_BYTES, Pack, PackEntry, pack_body, write_pack

_TIER_SIZE = 16
"""Packs of one tier that are joined into one pack of the next."""
_MAX_BYTES = 4 << 20
"""A pack of at least this size is not joined again: that is left to a repack of the whole repository. Until then the
places of its objects are in memory."""


class PackRollup:
    """The packs that this process has written into `folder`, by tier. Not safe for concurrent calls.

    Ignores packs that other processes have written, and packs that another process has deleted. `durable`: flush them
    to disk.
    """

    def __init__(self, folder: Path, new_hash: NewHash, *, durable: bool = True) -> None:
        self._durable = durable
        self._folder = folder
        self._new_hash = new_hash
        self._tiers: list[list[Pack]] = [[]]
        self._written: set[ObjectId] = set()
        self._replaced: list[Pack] = []

    def add(self, new: NewObjects) -> Pack:
        """Write the new objects into a pack. Raises OSError."""
        for oid in new.unwritten.keys() & self._written:
            del new.unwritten[oid]  # packs that may be joined must not share an object
        pack = write_pack(self._folder, *pack_body(new), self._new_hash, durable=self._durable)
        self._written.update(entry.oid for entry in pack.entries)
        self._tiers[0].append(pack)
        return pack

    def remove(self, pack: Pack) -> None:
        """Delete a pack that was just added."""
        self._tiers[0].remove(pack)
        self._written.difference_update(entry.oid for entry in pack.entries)
        self._delete([pack])

    def roll_up(self) -> bool:
        """Join each full tier into one pack; returns whether any was joined. After a disk error, its packs stay."""
        joined = False
        for tier in range(len(self._tiers)):
            if len(self._tiers[tier]) >= _TIER_SIZE:
                try:
                    self._join(tier)
                    joined = True
                except OSError:
                    break
        return joined

    def _join(self, tier: int) -> None:
        packs = [pack for pack in self._tiers[tier] if pack.file.exists()]
        entries: list[PackEntry] = []
        end = -len(self._new_hash(b"").digest())
        at = HEADER_BYTES
        for pack in packs:
            entries += [replace(entry, offset=entry.offset - HEADER_BYTES + at) for entry in pack.entries]
            at += pack.size - HEADER_BYTES + end
        bodies = (pack.file.read_bytes()[HEADER_BYTES:end] for pack in packs)  # one at a time in memory
        joined = write_pack(self._folder, bodies, entries, self._new_hash, durable=self._durable) if packs else None
        self._delete(self._replaced)  # the ones replaced in the previous round, which no reader is about to open
        self._replaced = packs
        self._tiers[tier] = []
        if tier + 1 == len(self._tiers):
            self._tiers.append([])
        if joined is not None and joined.size < _MAX_BYTES:
            self._tiers[tier + 1].append(joined)
        self._written = {entry.oid for tiers in self._tiers for pack in tiers for entry in pack.entries}

    def _delete(self, packs: list[Pack]) -> None:
        for pack in packs:
            pack.path.with_suffix(".idx").unlink(missing_ok=True)
            pack.file.unlink(missing_ok=True)

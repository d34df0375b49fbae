"""The packs that landings write."""

from pathlib import Path

from engine.repo.objects import NewHash, NewObjects
from engine.repo.pack import packed, write_pack


class Packs:
    def __init__(self, folder: Path, new_hash: NewHash) -> None:
        self._folder = folder
        self._new_hash = new_hash

    def add(self, new: NewObjects) -> None:
        write_pack(self._folder, *packed(new), self._new_hash)

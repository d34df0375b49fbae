"""Git objects in memory: read through from a repo's own, hashed and kept until a pack takes them."""

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pygit2


class Hash(Protocol):
    """What a constructor of hashlib gives."""

    def digest(self) -> bytes: ...


NewHash = Callable[[bytes], Hash]
Id = bytes
"""An object's id as bytes, not as hex."""
Entry = tuple[bytes, Id]
"""What a folder says of a name: its mode as git writes it (`100644`), and the object."""

TREE_MODE = b"40000"
LINK_MODE = b"120000"
SUBMODULE_MODE = b"160000"
REGULAR = (b"100644", b"100755")

_ENTRIES = 400_000
"""Of folders that are remembered: some tens of megabytes."""
_ROWS = {20: re.compile(rb"(\d+) ([^\0]+)\0(.{20})", re.DOTALL), 32: re.compile(rb"(\d+) ([^\0]+)\0(.{32})", re.DOTALL)}


class Folder:
    """A tree object: as git stores it, and its entries by name."""

    __slots__ = ("entries", "raw")

    def __init__(self, raw: bytes, entries: dict[bytes, Entry]) -> None:
        self.raw = raw
        self.entries = entries


class ObjectStore:
    """The objects that a repo has on disk, and the folders among them that were looked at last.

    For any thread. `new_hash` makes the hash that the repo names its objects by.
    """

    def __init__(self, git_dir: Path, object_format: str = "sha1") -> None:
        self._objects = git_dir / "objects"
        self._odb: pygit2.Odb | None = None
        self.folders: dict[Id, Folder] = {}
        self._entries = 0
        self.new_hash: NewHash = hashlib.sha1 if object_format == "sha1" else hashlib.sha256
        self.id_size = self.new_hash(b"").digest_size

    def read(self, oid: Id) -> bytes:
        """An object's content. Raises KeyError when there is none of that id, or the library cannot read it."""
        for _ in range(2 if self.id_size == 20 else 0):
            odb = self._odb
            if odb is None:
                odb = self._odb = pygit2.Odb(str(self._objects))
            try:
                return odb.read(pygit2.Oid(raw=oid))[1]
            except pygit2.GitError:
                self.reopen()  # a folder or pack vanished under the library: once more, with fresh eyes
        raise KeyError(oid.hex())

    def reopen(self) -> None:
        """Let go of packs that are open: the library keeps those that have been removed for as long as it lives."""
        self._odb = None

    def parse(self, raw: bytes) -> Folder:
        return Folder(raw, {name: (mode, oid) for mode, name, oid in _ROWS[self.id_size].findall(raw)})

    def remember(self, oid: Id, folder: Folder) -> None:
        self._entries += len(folder.entries)
        if self._entries > _ENTRIES:
            for old in list(self.folders)[: len(self.folders) // 2 + 1]:
                self.folders.pop(old, None)
            self._entries = sum(len(kept.entries) for kept in list(self.folders.values())) + len(folder.entries)
        self.folders[oid] = folder


class NewObjects:
    """Objects made on top of a store and not written yet.

    `made` has each one's kind and content; `derived` names the folder that a made folder came from by an edit.
    `borrowed` objects can be read as well, but are not this one's to write.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.made: dict[Id, tuple[bytes, bytes]] = {}
        self.derived: dict[Id, Id] = {}
        self.borrowed: dict[Id, tuple[bytes, bytes]] = {}
        self.empty = self.id_of(b"tree", b"")

    def id_of(self, kind: bytes, data: bytes) -> Id:
        """Raises ValueError for a file that was made to collide with another."""
        if kind == b"blob" and self.store.id_size == 20:
            try:
                return pygit2.hash(data).raw  # looks for forged collisions, as git will when it reads the file
            except pygit2.GitError as error:
                raise ValueError(str(error)) from error
        return self.store.new_hash(b"%s %d\0" % (kind, len(data)) + data).digest()

    def add(self, kind: bytes, data: bytes) -> Id:
        oid = self.id_of(kind, data)
        self.made[oid] = (kind, data)
        return oid

    def adopt(self, oid: Id) -> None:
        """Make a borrowed object one's own; any other is in the store already."""
        if (found := self.borrowed.get(oid)) is not None:
            self.made[oid] = found

    def read(self, oid: Id) -> bytes:
        """Raises KeyError when there is none."""
        found = self.made.get(oid) or self.borrowed.get(oid)
        return found[1] if found is not None else self.store.read(oid)

    def commit(self, root: Id, parents: Iterable[str], who: str, at: int, message: bytes) -> Id:
        """A commit as `git commit-tree` makes one. `who` is `NAME <EMAIL>`, `at` in seconds since 1970, UTC."""
        lines = [f"tree {root.hex()}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {who} {at} +0000", f"committer {who} {at} +0000", "", ""]
        return self.add(
            b"commit", "\n".join(lines).encode() + (message if message.endswith(b"\n") else message + b"\n")
        )

    # --- folders ---

    def folder(self, oid: Id) -> Folder:
        found = self.store.folders.get(oid)
        if found is None:
            found = self.store.parse(b"" if oid == self.empty else self.read(oid))
            self.store.remember(oid, found)
        return found

    def entry(self, root: Id, path: bytes) -> Entry | None:
        """What is at a path: None when nothing is."""
        *above, name = path.split(b"/")
        for part in above:
            found = self.folder(root).entries.get(part)
            if found is None or found[0] != TREE_MODE:
                return None
            root = found[1]
        return self.folder(root).entries.get(name)

    def edit(self, root: Id, changes: dict[bytes, Entry | None]) -> Id:
        """The folder `root` with other entries at some paths (None: nothing there). Folders left empty go."""
        old = self.folder(root)
        edits: dict[bytes, Entry | None] = {}
        inner: dict[bytes, dict[bytes, Entry | None]] = {}
        for path, entry in changes.items():
            name, slash, rest = path.partition(b"/")
            if slash:
                inner.setdefault(name, {})[rest] = entry
            else:
                edits[name] = entry
        for name, below in inner.items():
            found = edits[name] if name in edits else old.entries.get(name)
            was_folder = found is not None and found[0] == TREE_MODE
            made = self.edit(found[1] if found is not None and was_folder else self.empty, below)
            if made != self.empty:
                edits[name] = (TREE_MODE, made)
            elif was_folder:
                edits[name] = None
        edits = {name: entry for name, entry in edits.items() if entry != old.entries.get(name)}
        if not edits:
            return root
        folder = _edited(old, edits)
        oid = self.add(b"tree", folder.raw)
        self.store.remember(oid, folder)
        if self.empty not in (root, oid):
            self.derived.setdefault(oid, root)
        return oid

    def differences(self, old: Id, new: Id, prefix: bytes = b"") -> dict[bytes, tuple[Entry | None, Entry | None]]:
        """By path, what was and what is now, where they differ; folders that are the same are not looked into."""
        found: dict[bytes, tuple[Entry | None, Entry | None]] = {}
        before, after = self.folder(old).entries, self.folder(new).entries
        for name in sorted({name for name, _ in before.items() ^ after.items()}):
            was, now = before.get(name), after.get(name)
            below = [self.empty, self.empty]
            for side, entry in enumerate((was, now)):
                if entry is not None and entry[0] == TREE_MODE:
                    below[side] = entry[1]
            file_was = was if was is not None and was[0] != TREE_MODE else None
            file_now = now if now is not None and now[0] != TREE_MODE else None
            if file_was is not None or file_now is not None:
                found[prefix + name] = (file_was, file_now)
            if below[0] != below[1]:
                found |= self.differences(below[0], below[1], prefix + name + b"/")
        return found


def _edited(old: Folder, edits: dict[bytes, Entry | None]) -> Folder:
    """A folder with other entries. Where only ids are others, what git stores is patched: quicker for a big folder."""
    entries = dict(old.entries)
    raw = old.raw
    patched = True
    for name, entry in edits.items():
        was = entries.pop(name, None) if entry is None else entries.get(name)
        if entry is None:
            patched = False
            continue
        entries[name] = entry
        if was is None or was[0] != entry[0]:
            patched = False
        elif patched:
            row = b"%s %s\0" % (entry[0], name)
            at = raw.index(row + was[1]) + len(row)
            raw = raw[:at] + entry[1] + raw[at + len(entry[1]) :]
    if patched:
        return Folder(raw, entries)
    rows = sorted(
        (name + b"/" if mode == TREE_MODE else name, name, mode, oid) for name, (mode, oid) in entries.items()
    )
    return Folder(b"".join([b"%s %s\0" % (mode, name) + oid for _, name, mode, oid in rows]), entries)

"""Git objects in memory: reads a repository's objects and trees, and makes new ones that a pack writes later."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Protocol

import pygit2

from engine.repo.git.conversion import LOCAL_ATTRIBUTES
from engine.repo.git.regular_file import read_regular


class Hash(Protocol):
    """What a constructor of hashlib returns."""

    def digest(self) -> bytes: ...

    def update(self, data: bytes, /) -> None: ...


NewHash = Callable[[bytes], Hash]
ObjectId = bytes
"""An object id as raw bytes, not as hex."""
TreeEntry = tuple[bytes, ObjectId]
"""An entry of a tree object: its mode as git writes it (`100644`) and the object's id."""
Differences = dict[bytes, tuple[TreeEntry | None, TreeEntry | None]]
"""The old and the new entry of each file that differs between two trees, by path."""

TREE_MODE = b"40000"
LINK_MODE = b"120000"
SUBMODULE_MODE = b"160000"
FILE_MODES = (b"100644", b"100755")

UNLANDED = "unlanded"
"""The folder beside `objects` for objects that agents may not read (engine/repo/landing/trunk_objects.py)."""

_MAX_ATTRIBUTES = 1 << 20
_CACHED_ENTRIES = 100_000
"""Entries of all trees in the cache, about ten megabytes. Reading and parsing another tree again takes under 0.1 ms."""
_TREE_ENTRY = {
    20: re.compile(rb"(\d+) ([^\0]+)\0(.{20})", re.DOTALL),
    32: re.compile(rb"(\d+) ([^\0]+)\0(.{32})", re.DOTALL),
}


class Tree:
    """A tree object: its raw content and its entries by name."""

    __slots__ = ("entries", "raw")

    def __init__(self, raw: bytes, entries: dict[bytes, TreeEntry]) -> None:
        self.raw = raw
        self.entries = entries


class ObjectStore:
    """A repository's objects on disk, with a cache of parsed trees.

    May be used from any thread. `new_hash` is the hash function behind the repository's object ids.
    """

    def __init__(self, git_dir: Path, object_format: str = "sha1") -> None:
        unlanded = git_dir / UNLANDED  # borrows from `objects`
        self._objects = unlanded if unlanded.is_dir() else git_dir / "objects"
        self.local_attributes = read_regular(git_dir / LOCAL_ATTRIBUTES, _MAX_ATTRIBUTES)
        """What applies in addition to the project's `.gitattributes`."""
        self._odb: pygit2.Odb | None = None
        self._trees: OrderedDict[ObjectId, Tree] = OrderedDict()
        """Ordered by last use, the newest last."""
        self._entries = 0
        self._changing_cache = Lock()
        self.new_hash: NewHash = hashlib.sha1 if object_format == "sha1" else hashlib.sha256
        self.id_size = self.new_hash(b"").digest_size

    def read(self, oid: ObjectId) -> bytes:
        """An object's content. Raises KeyError when it does not exist or pygit2 cannot read it."""
        for _ in range(2 if self.id_size == 20 else 0):
            odb = self._odb
            if odb is None:
                odb = self._odb = pygit2.Odb(str(self._objects))
            try:
                return odb.read(pygit2.Oid(raw=oid))[1]
            except pygit2.GitError:
                self.reopen()  # a pack or folder may have been removed since it was opened: try once more
        raise KeyError(oid.hex())

    def size(self, oid: ObjectId) -> int:
        """The length of an object's content; -1 when it does not exist or pygit2 cannot read it."""
        try:
            return int(pygit2.Odb(str(self._objects)).read_header(pygit2.Oid(raw=oid))[1])
        except (KeyError, ValueError, pygit2.GitError):
            return -1

    def reopen(self) -> None:
        """Close open packs: otherwise pygit2 keeps packs open that have been deleted."""
        self._odb = None

    def parse_tree(self, raw: bytes) -> Tree:
        return Tree(raw, {name: (mode, oid) for mode, name, oid in _TREE_ENTRY[self.id_size].findall(raw)})

    def cached(self, oid: ObjectId) -> Tree | None:
        tree = self._trees.get(oid)
        if tree is not None:
            with suppress(KeyError):  # another thread has just dropped it
                self._trees.move_to_end(oid)
        return tree

    def cache(self, oid: ObjectId, tree: Tree) -> None:
        """Keep a tree, and drop those that have not been used for longest."""
        with self._changing_cache:
            if oid in self._trees:
                return
            self._trees[oid] = tree
            self._entries += len(tree.entries)
            while self._entries > _CACHED_ENTRIES and len(self._trees) > 1:
                self._entries -= len(self._trees.popitem(last=False)[1].entries)


class NewObjects:
    """New objects on top of a store, not on disk yet.

    `unwritten` has the kind and content of each; `delta_bases` maps an edited tree to the tree it was edited from.
    `borrowed` objects can be read too, but do not go into the pack.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.unwritten: dict[ObjectId, tuple[bytes, bytes]] = {}
        self.delta_bases: dict[ObjectId, ObjectId] = {}
        self.borrowed: dict[ObjectId, tuple[bytes, bytes]] = {}
        self.empty_tree = self.id_of(b"tree", b"")

    def id_of(self, kind: bytes, data: bytes) -> ObjectId:
        """The id of an object. Raises ValueError for a file crafted as a SHA-1 collision."""
        if kind == b"blob" and self.store.id_size == 20:
            try:
                return pygit2.hash(data).raw  # detects crafted collisions, as git does when it reads the file
            except pygit2.GitError as error:
                raise ValueError(str(error)) from error
        return self.store.new_hash(b"%s %d\0" % (kind, len(data)) + data).digest()

    def add(self, kind: bytes, data: bytes) -> ObjectId:
        oid = self.id_of(kind, data)
        self.unwritten[oid] = (kind, data)
        return oid

    def adopt(self, oid: ObjectId) -> None:
        """Put a borrowed object into the pack as well; any other object is on disk already."""
        if (found := self.borrowed.get(oid)) is not None:
            self.unwritten[oid] = found

    def read(self, oid: ObjectId) -> bytes:
        """An object's content. Raises KeyError when it does not exist."""
        found = self.unwritten.get(oid) or self.borrowed.get(oid)
        return found[1] if found is not None else self.store.read(oid)

    def commit(self, root: ObjectId, parents: Iterable[str], who: str, at: int, message: bytes) -> ObjectId:
        """Add a commit as `git commit-tree` would. `who` is `NAME <EMAIL>`, `at` is in seconds since 1970, UTC."""
        lines = [f"tree {root.hex()}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {who} {at} +0000", f"committer {who} {at} +0000", "", ""]
        return self.add(
            b"commit", "\n".join(lines).encode() + (message if message.endswith(b"\n") else message + b"\n")
        )

    # --- trees ---

    def tree(self, oid: ObjectId) -> Tree:
        found = self.store.cached(oid)
        if found is None:
            found = self.store.parse_tree(b"" if oid == self.empty_tree else self.read(oid))
            self.store.cache(oid, found)
        return found

    def entry(self, root: ObjectId, path: bytes) -> TreeEntry | None:
        """The entry at a path; None when there is none."""
        *above, name = path.split(b"/")
        for part in above:
            found = self.tree(root).entries.get(part)
            if found is None or found[0] != TREE_MODE:
                return None
            root = found[1]
        return self.tree(root).entries.get(name)

    def edit_tree(self, root: ObjectId, changes: dict[bytes, TreeEntry | None]) -> ObjectId:
        """The tree `root` with `changes` applied (None deletes a path). Folders that become empty are removed."""
        old = self.tree(root)
        edits: dict[bytes, TreeEntry | None] = {}
        inner: dict[bytes, dict[bytes, TreeEntry | None]] = {}
        for path, entry in changes.items():
            name, slash, rest = path.partition(b"/")
            if slash:
                inner.setdefault(name, {})[rest] = entry
            else:
                edits[name] = entry
        for name, below in inner.items():
            found = edits[name] if name in edits else old.entries.get(name)
            was_folder = found is not None and found[0] == TREE_MODE
            edited = self.edit_tree(found[1] if found is not None and was_folder else self.empty_tree, below)
            if edited != self.empty_tree:
                edits[name] = (TREE_MODE, edited)
            elif was_folder:
                edits[name] = None
        edits = {name: entry for name, entry in edits.items() if entry != old.entries.get(name)}
        if not edits:
            return root
        tree = _edited(old, edits)
        oid = self.add(b"tree", tree.raw)
        self.store.cache(oid, tree)
        if self.empty_tree not in (root, oid):
            self.delta_bases.setdefault(oid, root)
        return oid

    def edited(self, old: ObjectId, edits: dict[bytes, TreeEntry | None], new: ObjectId) -> Differences:
        """What `edits` changed from tree `old` to `new`. Compares the two trees only if the edits concern folders."""
        found: Differences = {}
        for path, now in edits.items():
            was = self.entry(old, path)
            if (was is not None and was[0] == TREE_MODE) or (
                was is None and now is not None and self._in_file(old, path)
            ):
                return self.differences(old, new)
            if was != now:
                found[path] = was, now
        return found

    def _in_file(self, root: ObjectId, path: bytes) -> bool:
        """Whether something other than a folder is in the place of a folder above `path`."""
        found = None
        for part in path.split(b"/")[:-1]:
            if (found := self.tree(root).entries.get(part)) is None or found[0] != TREE_MODE:
                break
            root = found[1]
        return found is not None and found[0] != TREE_MODE

    def differences(self, old: ObjectId, new: ObjectId, prefix: bytes = b"") -> Differences:
        """What differs between two trees. Identical folders are skipped."""
        found: Differences = {}
        before, after = self.tree(old).entries, self.tree(new).entries
        for name in sorted({name for name, _ in before.items() ^ after.items()}):
            was, now = before.get(name), after.get(name)
            below = [self.empty_tree, self.empty_tree]
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


def _edited(old: Tree, edits: dict[bytes, TreeEntry | None]) -> Tree:
    """A tree with `edits` applied. If only ids change, the raw content is patched, which is faster for large trees."""
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
        return Tree(raw, entries)
    rows = sorted(
        (name + b"/" if mode == TREE_MODE else name, name, mode, oid) for name, (mode, oid) in entries.items()
    )
    return Tree(b"".join([b"%s %s\0" % (mode, name) + oid for _, name, mode, oid in rows]), entries)

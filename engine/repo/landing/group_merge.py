"""Lands many changes on one tip, in memory: each as a commit of its own, merged path by path as git would.

Whatever affects other paths (renames, removed folders, symlinks, submodules) is left to git. So are merges of file
contents that are not certain, for all changes of a group at once.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import pygit2
from msgspec import Struct

from engine.domain.collisions import LARGE
from engine.domain.os_text import path_text
from engine.domain.types import CommitId, LandingState
from engine.ports.protocols import LandResult
from engine.repo.changes.change import Change, message_bytes
from engine.repo.git.line_counts import changed_lines
from engine.repo.git.objects import FILE_MODES, SUBMODULE_MODE, TREE_MODE, NewObjects, ObjectId, ObjectStore, TreeEntry
from engine.repo.landing import line_merge

COMMITTER = "swarm-tui <swarm@localhost>"
CONFLICT_MESSAGE = "conflicts of a merge, with markers\n"
MERGE_MESSAGE = "trunk with a change that has not landed\n"

_ATTRIBUTES = b".gitattributes"
_BESIDE = b".swarm-merge-"
"""How the names of folders begin in which git merges further contents of one path at the same time."""


@dataclass(eq=False)
class LandingRequest:
    """A change that waits to land with a message. `change` is set if it is in memory; `result` receives the outcome.

    Unless it `lands`, it is only merged: trunk stays where it is.
    """

    commit: CommitId
    change: Change | None
    message: str
    result: asyncio.Future[LandResult]
    lands: bool = True


class FileMerge(Struct, frozen=True):
    """A three-way merge of one file: its content in the base, on trunk (`ours`), and in the change (`theirs`)."""

    path: bytes
    base: ObjectId
    ours: ObjectId
    theirs: ObjectId


class MergedFile(Struct, frozen=True):
    """The content that git merged; unless `clean`, it has conflict markers."""

    clean: bool
    data: bytes


class GroupMerge:
    """Merges one group. Each landing that succeeds moves its `tip`; nothing is on disk until `new` is packed.

    `new` has what the tip reaches, `conflicted` what only merges reach that did not land, which agents may not read.

    `on_trunk` says whether a commit is on trunk; `read_change` reads a change from disk (None: not readable). `at` is
    the time of the commits, in seconds since 1970.
    """

    def __init__(
        self,
        store: ObjectStore,
        tip: CommitId,
        root: ObjectId,
        on_trunk: Callable[[CommitId], bool],
        read_change: Callable[[CommitId], Change | None],
        at: int,
    ) -> None:
        self.tip = tip
        self.new = NewObjects(store)
        self.conflicted = NewObjects(store)
        self.results: list[tuple[LandingRequest, LandResult]] = []
        self.file_merges: dict[bytes, FileMerge] = {}
        """What git has to merge, by the path at which git merges it."""
        self._root = root
        self._on_trunk = on_trunk
        self._read_change = read_change
        self._at = at
        self._merged: dict[FileMerge, tuple[bool, ObjectId]] = {}
        self._attributes_changed = False
        self.has_changes_on_disk = False

    def merge(self, requests: list[LandingRequest]) -> tuple[list[LandingRequest], list[LandingRequest]]:
        """Give each request its result. Returns those that wait for `file_merges`, and those that git must merge."""
        self.file_merges = {}
        waiting: list[LandingRequest] = []
        for_git: list[LandingRequest] = []
        for request in requests:
            merge = self._merge_paths(request)
            if merge is None or (merge.file_merges and self._attributes_changed) or merge.is_beside():
                for_git.append(request)
            elif missing := [file for file in merge.file_merges if not self._is_merged(file)]:
                waiting.append(request)
                for file in missing:
                    self._add_file_merge(file)
            else:
                self.results.append((request, self._finish(request, merge)))
        return waiting, for_git

    def _add_file_merge(self, file: FileMerge) -> None:
        """Have git merge a file. A further merge of the same path is done beside it, or in the next round if attributes
        may depend on the path."""
        place, further = file.path, 0
        while self.file_merges.get(place, file) != file:
            further += 1
            place = b"%s%d/%s" % (_BESIDE, further, file.path)
        if not further or not self._attributes_may_apply(file.path, (b"",)):
            self.file_merges[place] = file

    def _merge_paths(self, request: LandingRequest) -> "_PathMerge | None":
        change = request.change or self._read_change(request.commit)
        if change is None or not self._on_trunk(change.base):
            return None
        if change.objects is not None:
            self.new.borrowed.update(change.objects.unwritten)
        else:
            self.has_changes_on_disk = True
        merge = _PathMerge(self.new, change, self._root)
        try:
            return merge if merge.run() else None
        except KeyError:
            return None  # an object is missing: git will name it, and only this request fails

    def _is_merged(self, file: FileMerge) -> bool:
        """Whether the result of a file merge is known, after trying to merge its lines without git."""
        if file in self._merged:
            return True
        try:
            base, ours, theirs = (self.new.read(oid) for oid in (file.base, file.ours, file.theirs))
            data = None if self._attributes_may_apply(file.path) else line_merge.merge_lines(base, ours, theirs)
        except KeyError:
            return False  # an object is missing: git will name it
        if data is None:
            return False
        self._add_merged(file, MergedFile(True, data))
        return True

    def _attributes_may_apply(self, path: bytes, words: Collection[bytes] = line_merge.MERGE_ATTRIBUTES) -> bool:
        """Whether local attributes, or the tip's `.gitattributes` with one of the words, may change how a file's
        content is merged."""
        if self.new.store.local_attributes:
            return True
        for folder in (b"", *(parent + b"/" for parent in _parents(path))):
            found = self.new.entry(self._root, folder + _ATTRIBUTES)
            if found is not None and found[0] in FILE_MODES and any(word in self.new.read(found[1]) for word in words):
                return True
        return False

    def add_merged_files(self, merged: dict[bytes, MergedFile]) -> None:
        """Take the contents that git merged for `file_merges`."""
        for place, file in merged.items():
            self._add_merged(self.file_merges[place], file)

    def _add_merged(self, file: FileMerge, merged: MergedFile) -> None:
        oid = self.new.id_of(b"blob", merged.data)
        self.new.borrowed[oid] = (b"blob", merged.data)
        self._merged[file] = (merged.clean, oid)

    def _finish(self, request: LandingRequest, merge: "_PathMerge") -> LandResult:
        edits = dict(merge.edits)
        conflicts = []
        for file, mode in merge.file_merges.items():
            clean, oid = self._merged[file]
            if not clean:
                conflicts.append(file.path)
            if (mode, oid) != self.new.entry(self._root, file.path):
                edits[file.path] = (mode, oid)
        if not conflicts and not edits:
            return LandResult(LandingState.EMPTY, self.tip)
        stays = bool(conflicts) or not request.lands
        landing = set(self.new.unwritten) if stays else set()
        changed = [(self.new.entry(self._root, path), entry) for path, entry in edits.items()]
        tree = self.new.edit_tree(self._root, edits)
        for entry in edits.values():
            if entry is not None:
                self.new.adopt(entry[1])
        paths = tuple(sorted(path_text(path) for path in edits))
        if stays:
            about = CONFLICT_MESSAGE if conflicts else MERGE_MESSAGE
            merged = self.new.commit(tree, [self.tip], COMMITTER, self._at, about.encode())
            for oid in self.new.unwritten.keys() - landing:
                self.conflicted.unwritten[oid] = self.new.unwritten.pop(oid)
            if not conflicts:
                return LandResult(LandingState.MERGED, self.tip, paths=paths, merged=CommitId(merged.hex()))
            names = tuple(sorted(path_text(path) for path in conflicts))
            reason = "\n".join(f"CONFLICT (content): Merge conflict in {path}" for path in names)
            return LandResult(
                LandingState.CONFLICTED, self.tip, conflicts=names, merged=CommitId(merged.hex()), reason=reason
            )
        message = message_bytes(request.message)
        commit = CommitId(self.new.commit(tree, [self.tip], COMMITTER, self._at, message).hex())
        large = large_files(self.new, edits)
        counted = None if merge.overlapping else merge.change.lines
        added, removed = self._lines(changed) if counted is None else counted
        result = LandResult(
            *(LandingState.MERGED, self.tip, commit, paths),
            large=large,
            added=added,
            removed=removed,
            overlapping=tuple(sorted(path_text(path) for path in merge.overlapping.intersection(edits))),
        )
        self._attributes_changed |= any(path.rpartition(b"/")[2] == _ATTRIBUTES for path in edits)
        self.tip, self._root = commit, tree
        return result

    def _lines(self, changed: list[tuple[TreeEntry | None, TreeEntry | None]]) -> tuple[int | None, int | None]:
        """The lines that these changes of files add and remove; None if git has to count them."""
        try:
            return changed_lines(self.new, changed) or (None, None)
        except (ValueError, pygit2.GitError):
            return None, None


class _PathMerge:
    """Merges one change onto a tree, path by path.

    Git looks for renames only among files that one side deleted and the other changed or deleted, and in folders that
    one side removed and the other added to ("relevant renames" of merge-ort). Without those, each path can be merged
    on its own.
    """

    def __init__(self, new: NewObjects, change: Change, root: ObjectId) -> None:
        self._new = new
        self.change = change
        self._root = root
        self.edits: dict[bytes, TreeEntry | None] = {}
        self.file_merges: dict[FileMerge, bytes] = {}
        """With the mode of the merged file."""
        self.overlapping: set[bytes] = set()
        """The changed paths that trunk has changed too."""

    def run(self) -> bool:
        """Find `edits` and `file_merges`; False when only git can merge the change."""
        changed = self.change.differences(self._new)
        return all(self._merge_path(path, base, theirs) for path, (base, theirs) in changed.items())

    def is_beside(self) -> bool:
        """Whether a path to merge lies where further contents of other paths are merged."""
        return any(file.path.startswith(_BESIDE) for file in self.file_merges)

    def _merge_path(self, path: bytes, base: TreeEntry | None, theirs: TreeEntry | None) -> bool:
        ours = self._new.entry(self._root, path)
        if any(entry is not None and entry[0] == SUBMODULE_MODE for entry in (base, theirs, ours)):
            return False
        if ours == base:
            self.edits[path] = theirs
            return (base is not None or self._can_add(path)) and (theirs is not None or self._can_delete(path))
        self.overlapping.add(path)
        if ours is None or base is None or theirs is None:
            return ours is not None and ours == theirs
        if any(entry[0] not in FILE_MODES for entry in (base, theirs, ours)):
            return ours == theirs
        mode = theirs[0] if ours[0] == base[0] else ours[0]
        if len({base[1], ours[1], theirs[1]}) == 3:
            self.file_merges[FileMerge(path, base[1], ours[1], theirs[1])] = mode
        else:
            merged = (mode, theirs[1] if ours[1] == base[1] else ours[1])
            if merged != ours:
                self.edits[path] = merged
        return True

    def _can_add(self, path: bytes) -> bool:
        """Whether each folder of a new file is on trunk or new to both sides; otherwise trunk may have renamed it."""
        for folder in _parents(path):
            found = self._new.entry(self._root, folder)
            if found is None:
                return self._new.entry(self.change.base_tree, folder) is None
            if found[0] != TREE_MODE:
                return False
        return True

    def _can_delete(self, path: bytes) -> bool:
        """Whether the folder that the deletion removes, if any, is on trunk as it was in the change's base."""
        for folder in _parents(path):
            left = self._new.entry(self.change.tree, folder)
            if left is None or left[0] != TREE_MODE:
                return self._new.entry(self._root, folder) == self._new.entry(self.change.base_tree, folder)
        return True


def large_files(new: NewObjects, edits: Mapping[bytes, TreeEntry | None]) -> dict[str, int]:
    """The sizes of the large files among `edits`."""
    files = [(path, entry[1]) for path, entry in edits.items() if entry is not None and entry[0] in FILE_MODES]
    return {path_text(path): size for path, oid in files if (size := len(new.read(oid))) >= LARGE}


def _parents(path: bytes) -> list[bytes]:
    """The folders that a path is in, from the top down."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]

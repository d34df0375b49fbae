"""Finished changes that have not landed yet. They stay in memory: only the pack of their landing is written to disk.

A change that has not landed when the process ends is lost; its task is done again.
"""

import time
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine.domain.types import CommitId
from engine.repo.changes.builder_process import BuilderProcess
from engine.repo.changes.change import Change, message_bytes
from engine.repo.changes.commit_builder import MAX_IN_MEMORY, BuiltCommit, build_commit, content_size
from engine.repo.git.objects import UNLANDED, NewObjects, ObjectId, ObjectStore
from engine.repo.git.pack_writer import pack_body, write_pack
from engine.repo.git.trees import Content

_CACHED_COMMITS = 2_000
"""Commits in memory: more than the bases of a thousand agents' changes. Others are read from their packs again."""


class PendingChanges:
    """The pending changes of one run. May be used from any thread, but `builder` only from one event loop.

    Without `in_memory`, every change is written to disk at once, for callers that have no trunk to land it.
    """

    def __init__(self, git_dir: Path, store: ObjectStore | None = None, *, in_memory: bool = True) -> None:
        self._packs = git_dir / UNLANDED / "pack"
        self.store = store or ObjectStore(git_dir)
        self.builder = BuilderProcess(git_dir, usable=in_memory)
        self._in_memory = in_memory
        self._changes: dict[CommitId, Change] = {}
        self._holders: Counter[CommitId] = Counter()
        self._read = lru_cache(_CACHED_COMMITS)(self._read_commit)

    def build(
        self, base: CommitId, received: CommitId, contents: Mapping[str, Content | None], message: str
    ) -> CommitId:
        """Build a change on `base` from the tree of `received` with `contents` applied (None deletes a path).

        Raises ValueError for content that git would refuse to read, OSError when a large change cannot be written.
        """
        new = NewObjects(self.store)
        root = self.tree_of(received)
        built = build_commit(new, root, base, contents, message_bytes(message), int(time.time()))
        return self.accept(base, received, built)

    def accept(self, base: CommitId, received: CommitId, built: BuiltCommit) -> CommitId:
        """Add a change on `base` that was built from the tree of `received`. Raises OSError if it cannot be
        written."""
        new = NewObjects(self.store)
        new.unwritten, new.delta_bases = built.objects, built.delta_bases
        commit, base_tree = CommitId(built.commit.hex()), self.tree_of(base)
        known = (built.differences, built.lines) if self.tree_of(received) == base_tree else (None, None)
        change = Change(commit, base, base_tree, built.tree, new, *known)
        if not self._in_memory or content_size(new) > MAX_IN_MEMORY:
            self.write(change)
        else:
            self._changes[commit] = change
            self._holders[commit] += 1  # two workspaces may have built the same commit
        return commit

    def write(self, change: Change) -> None:
        """Write a change that is in memory to disk. Raises OSError."""
        if change.objects is not None:
            write_pack(self._packs, *pack_body(change.objects), self.store.new_hash)

    def release(self, commit: CommitId) -> None:
        """Drop a change from memory, unless another workspace has built the same one."""
        self._holders[commit] -= 1
        if self._holders[commit] <= 0:
            del self._holders[commit]
            self._changes.pop(commit, None)

    def get(self, commit: CommitId) -> Change | None:
        """A change that is in memory."""
        return self._changes.get(commit)

    def from_disk(self, commit: CommitId) -> Change | None:
        """A commit on disk as a change; None when it does not exist or does not have exactly one parent."""
        try:
            tree, parents = self._read(commit)
            return Change(commit, parents[0], self.tree_of(parents[0]), tree) if len(parents) == 1 else None
        except (KeyError, ValueError):
            return None

    def tree_of(self, commit: CommitId) -> ObjectId:
        """The tree of a commit on disk. Raises KeyError when there is no such commit."""
        return self._read(commit)[0]

    def _read_commit(self, commit: CommitId) -> tuple[ObjectId, tuple[CommitId, ...]]:
        """The tree and the parents of a commit on disk."""
        head, _, _ = self.store.read(bytes.fromhex(commit)).partition(b"\n\n")
        lines = [line.decode("ascii", "replace").partition(" ") for line in head.split(b"\n")]
        tree = next(value for name, _, value in lines if name == "tree")
        return bytes.fromhex(tree), tuple(CommitId(value) for name, _, value in lines if name == "parent")

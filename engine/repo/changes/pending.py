"""Finished changes on their way to trunk, in memory: all that is to be written of them is the pack of their landing.

What nobody lands is forgotten with its process: a task that had not landed is done again.
"""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from engine.domain.types import CommitId
from engine.repo.changes.builder_process import Maker
from engine.repo.changes.change import Change, message_bytes
from engine.repo.changes.commit_builder import LARGEST, Made, build, size_of
from engine.repo.git.objects import NewObjects, ObjectId, ObjectStore
from engine.repo.git.pack_writer import pack_body, write_pack
from engine.repo.git.trees import Content

_ROOTS = 10_000


class Offers:
    """The changes of one run. For any thread; `maker` for one event loop.

    Without `keep` every change is written at once, for whoever has no trunk that takes them.
    """

    def __init__(self, git_dir: Path, store: ObjectStore | None = None, *, keep: bool = True) -> None:
        self._packs = git_dir / "objects" / "pack"
        self.store = store or ObjectStore(git_dir)
        self.maker = Maker(git_dir, usable=keep)
        self._keep = keep
        self._kept: dict[CommitId, Change] = {}
        self._holders: Counter[CommitId] = Counter()
        self._trees: dict[CommitId, tuple[ObjectId, tuple[CommitId, ...]]] = {}

    def make(
        self, base: CommitId, received: CommitId, contents: Mapping[str, Content | None], message: str
    ) -> CommitId:
        """Make the change that turns `base` into `received` with these contents (None: not there, nor what is below).

        Raises ValueError for content that git would not read, OSError when a large one cannot be written.
        """
        new = NewObjects(self.store)
        root = self.tree_of(received)
        made, tree = build(new, root, base, contents, message_bytes(message), int(time.time()))
        return self._take(made, base, tree, new)

    def keep(self, base: CommitId, made: Made) -> CommitId:
        """Take a change that was made elsewhere. Raises OSError when it cannot be written."""
        new = NewObjects(self.store)
        new.unwritten, new.delta_bases = made.objects, made.delta_bases
        return self._take(made.commit, base, made.tree, new)

    def _take(self, made: ObjectId, base: CommitId, tree: ObjectId, new: NewObjects) -> CommitId:
        commit = CommitId(made.hex())
        change = Change(commit, base, self.tree_of(base), tree, new)
        if not self._keep or size_of(new) > LARGEST:
            self.write(change)
        else:
            self._kept[commit] = change
            self._holders[commit] += 1  # two copies may have made the very same
        return commit

    def write(self, change: Change) -> None:
        """Put a change that is in memory on disk. Raises OSError."""
        if change.objects is not None:
            write_pack(self._packs, *pack_body(change.objects), self.store.new_hash)

    def forget(self, commit: CommitId) -> None:
        """Let go of what `make` gave."""
        self._holders[commit] -= 1
        if self._holders[commit] <= 0:
            del self._holders[commit]
            self._kept.pop(commit, None)

    def kept(self, commit: CommitId) -> Change | None:
        return self._kept.get(commit)

    def on_disk(self, commit: CommitId) -> Change | None:
        """What a commit with one parent changes; None for any other, and where there is none."""
        try:
            tree, parents = self._read(commit)
            return Change(commit, parents[0], self.tree_of(parents[0]), tree) if len(parents) == 1 else None
        except (KeyError, ValueError):
            return None

    def tree_of(self, commit: CommitId) -> ObjectId:
        """Raises KeyError when there is no such commit."""
        return self._read(commit)[0]

    def _read(self, commit: CommitId) -> tuple[ObjectId, tuple[CommitId, ...]]:
        found = self._trees.get(commit)
        if found is None:
            head, _, _ = self.store.read(bytes.fromhex(commit)).partition(b"\n\n")
            lines = [line.decode("ascii", "replace").partition(" ") for line in head.split(b"\n")]
            tree = next(value for name, _, value in lines if name == "tree")
            found = bytes.fromhex(tree), tuple(CommitId(value) for name, _, value in lines if name == "parent")
            if len(self._trees) >= _ROOTS:
                self._trees.clear()
            self._trees[commit] = found
        return found

"""Trunk's history as workers read it: a commit for each landing, without the names, ids and trailers of the swarm.

The rewritten commits lie in a folder of their own inside of `objects`, so that only copies that show them borrow them.
Each is made once, by the first workspace on it or on a later commit, and is the same in every process.
"""

import re
import threading
from pathlib import Path

import pygit2

from engine.domain.commit_message import for_workers
from engine.domain.os_text import output_text
from engine.domain.types import CommitId
from engine.repo.git.objects import NewObjects, ObjectStore
from engine.repo.git.pack_rollup import PackRollup
from engine.repo.git.packed_ids import CommitMap
from engine.repo.workspaces.boot import boot_id
from engine.sandbox.removal import delete_tree

FOLDER = "history"
"""Below the trunk's `objects`."""
WHO = "project <project@localhost>"
"""The author of each rewritten commit: nobody whom a worker could look for."""


class WorkerHistory:
    """Rewrites trunk's commits since the run's base. May be used from any thread."""

    def __init__(self, trunk_git: Path, base: CommitId) -> None:
        self._trunk = trunk_git
        self._base = base
        self._store = ObjectStore(trunk_git)
        self._folder = trunk_git / "objects" / FOLDER
        self._known: CommitMap | None = None
        """By the trunk commit, whose place it takes; None before the first question."""
        self._packs = PackRollup(self._folder / "pack", self._store.new_hash, durable=False)
        self._lock = threading.Lock()

    def head(self, commit: CommitId) -> CommitId:
        """What a worker sees in place of a trunk commit. Raises KeyError, OSError, pygit2.GitError."""
        with self._lock:
            known = self._known = self._known if self._known is not None else self._read_known()
            if commit not in known:
                self._rewrite_up_to(commit, known)
            return known.get(commit) or commit

    def _read_known(self) -> CommitMap:
        """What earlier processes rewrote. Files of an earlier boot may be torn, and no copy needs them: they go."""
        digits = 2 * self._store.id_size
        boot, file = self._folder / "boot", self._folder / "known"
        if not boot.exists() or not boot_id() or boot.read_text() != boot_id():
            delete_tree(self._folder)
            self._folder.mkdir()
            (self._folder / "pack").mkdir()
            file.touch()
            boot.write_text(boot_id())
        whole = re.findall(f"^([0-9a-f]{{{digits}}}) ([0-9a-f]{{{digits}}})$", file.read_text("ascii"), re.MULTILINE)
        known = CommitMap()
        for theirs, ours in [(self._base, self._base), *whole]:
            known.add(theirs, CommitId(ours))
        return known

    def _rewrite_up_to(self, commit: CommitId, known: CommitMap) -> None:
        repo = pygit2.Repository(str(self._trunk))
        new, made = NewObjects(self._store), dict[CommitId, CommitId]()
        for each in reversed(self._unknown(repo, commit, known)):
            first = [CommitId(str(parent)) for parent in each.parent_ids[:1]]
            parents = [made.get(parent) or known.get(parent) or parent for parent in first]
            message = for_workers(output_text(each.raw_message)).encode()
            oid = new.commit(each.tree_id.raw, parents, WHO, each.commit_time, message)
            made[CommitId(str(each.id))] = CommitId(oid.hex())
        if made:
            self._packs.add(new)
            self._packs.roll_up()
            with (self._folder / "known").open("a", encoding="ascii") as file:
                # The line break comes first: a process may have been killed while it wrote a line.
                file.write("".join(f"\n{theirs} {ours}" for theirs, ours in made.items()))
            for theirs, ours in made.items():
                known.add(theirs, ours)

    def _unknown(self, repo: pygit2.Repository, commit: CommitId, known: CommitMap) -> list[pygit2.Commit]:
        """The commits to rewrite, the newest first: along first parents, down to one that is known or the project's."""
        found: list[pygit2.Commit] = []
        at: str = commit
        while at not in known and at in repo:
            found.append(repo[at].peel(pygit2.Commit))
            if not found[-1].parent_ids:
                break
            at = str(found[-1].parent_ids[0])
        if at in known:
            return found
        # Somebody has moved trunk to where the base is no first parent: what the base reaches is the project's own.
        return [each for each in found if not repo.descendant_of(self._base, each.id)]

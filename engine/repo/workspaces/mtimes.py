"""Decides the modification time of each file in a workspace, so that build tools know what to rebuild.

Tools such as make and cargo rebuild only what is older than its sources. So a file keeps its time while its content
stays the same from one commit to the next, whichever layer shows it. A file that differs from the one that a kept build
was made from is newer than that build.
"""

import os

import pygit2
from msgspec import Struct
from msgspec.structs import replace

from engine.domain.types import CommitId
from engine.repo.git.index import Index, IndexEntries, IndexEntry
from engine.repo.git.trees import differences, tree_of
from engine.repo.workspaces.warm_builds import WarmBuilds


class FileTimes(Struct, frozen=True):
    """The index entries of all files of `commit`: those of the base, in `index`, except for `changed`."""

    commit: CommitId
    index: Index
    changed: IndexEntries

    def find(self, path: bytes) -> IndexEntry | None:
        return self.changed[path] if path in self.changed else self.index.find(path)


def at_commit(
    repo: pygit2.Repository, times: FileTimes, commit: CommitId, now_ns: int, builds: WarmBuilds | None = None
) -> FileTimes:
    """The times at another commit: files that differ are dated now, also those that differ from the commit of `builds`.

    Raises KeyError, pygit2.GitError.
    """
    changed = dict(times.changed)
    tree = tree_of(repo, commit)
    for path, found in differences(tree_of(repo, times.commit), tree):
        changed[os.fsencode(path)] = _entry(found, now_ns)
    moved = replace(times, commit=commit, changed=changed)
    if builds is None:
        return moved
    for path, found in differences(tree_of(repo, builds.commit), tree):
        name = os.fsencode(path)
        known = moved.find(name)
        if found is not None and known is not None and known.modified_ns <= builds.newest_ns:
            changed[name] = _entry(found, max(now_ns, builds.newest_ns + 1))
    return moved


def rebased(times: FileTimes, index: Index) -> FileTimes:
    """The same times on another base."""
    changed = {path: entry for path, entry in times.changed.items() if entry != index.find(path)}
    return FileTimes(times.commit, index, changed)


def _entry(found: pygit2.Object | None, now_ns: int) -> IndexEntry | None:
    if found is None:
        return None
    submodule = found.filemode == pygit2.GIT_FILEMODE_COMMIT
    return IndexEntry(int(found.filemode), found.id.raw, 0 if submodule else now_ns)

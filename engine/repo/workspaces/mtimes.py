"""The time that each file of a copy shows: it moves when the content does, and build tools go by it.

Tools such as make and cargo take what they built for good while no source is younger. So a file keeps its time for as
long as it stays the same from one commit to the next that copies are made at, whichever layer shows it; and where it
is not what a build was made from, it is younger than that build.
"""

import os

import pygit2
from msgspec import Struct
from msgspec.structs import replace

from engine.domain.types import CommitId
from engine.repo.git.index import Index, IndexEntries, IndexEntry
from engine.repo.git.trees import differences
from engine.repo.workspaces.warm_builds import Builds


class Times(Struct, frozen=True):
    """All files of `commit`: as the base has them in `index`, but for `marks`."""

    commit: CommitId
    index: Index
    marks: IndexEntries

    def of(self, path: bytes) -> IndexEntry | None:
        return self.marks[path] if path in self.marks else self.index.find(path)


def moved(repo: pygit2.Repository, times: Times, commit: CommitId, now_ns: int, builds: Builds | None = None) -> Times:
    """At another commit: what it changes is of now, and so is what `builds` were not made from but are younger than.

    Raises KeyError, pygit2.GitError.
    """
    marks = dict(times.marks)
    new = _tree(repo, commit)
    for path, found in differences(_tree(repo, times.commit), new):
        marks[os.fsencode(path)] = _mark(found, now_ns)
    there = replace(times, commit=commit, marks=marks)
    if builds is None:
        return there
    for path, found in differences(_tree(repo, builds.commit), new):
        name = os.fsencode(path)
        known = there.of(name)
        if found is not None and known is not None and known.modified_ns <= builds.until_ns:
            marks[name] = _mark(found, max(now_ns, builds.until_ns + 1))
    return there


def rebased(times: Times, index: Index) -> Times:
    """The same on another base."""
    marks = {path: mark for path, mark in times.marks.items() if mark != index.find(path)}
    return Times(times.commit, index, marks)


def _mark(found: pygit2.Object | None, now_ns: int) -> IndexEntry | None:
    if found is None:
        return None
    submodule = found.filemode == pygit2.GIT_FILEMODE_COMMIT
    return IndexEntry(int(found.filemode), found.id.raw, 0 if submodule else now_ns)


def _tree(repo: pygit2.Repository, commit: CommitId) -> pygit2.Tree:
    return repo[commit].peel(pygit2.Commit).tree

"""Counts the lines that a commit adds and removes, as `git diff --numstat` does."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

import pygit2

from engine.domain.errors import SwarmError
from engine.domain.types import CommitId
from engine.repo.git.git import Git
from engine.repo.git.objects import FILE_MODES, NewObjects, ObjectId, ObjectStore, TreeEntry

IN_PROCESS = 256 * 1024
"""Bytes of changed files up to which this process compares them itself; it can do nothing else meanwhile."""


async def count_lines(
    git: Git, store: ObjectStore, tree_of: Callable[[CommitId], ObjectId], old: CommitId, new: CommitId
) -> tuple[int, int] | None:
    """Lines added and removed between two commits; None if they cannot be counted."""

    def count() -> tuple[int, int] | None:
        objects = NewObjects(store)
        return changed_lines(objects, objects.differences(tree_of(old), tree_of(new)).values())

    with suppress(KeyError, ValueError, pygit2.GitError):  # only git can read it
        if (counted := await asyncio.to_thread(count)) is not None:
            return counted
    try:
        return await _count_by_git(git, old, new)
    except SwarmError:
        return None


def changed_lines(
    objects: NewObjects, changed: Collection[tuple[TreeEntry | None, TreeEntry | None]]
) -> tuple[int, int] | None:
    """The lines that these changes add and remove, each given as a file's old and new entry.

    None if the files are too large to be compared here. A file that was only moved counts no lines. Raises KeyError,
    ValueError, pygit2.GitError when only git can read them.
    """
    gone = {_file(was) for was, now in changed if now is None}
    came = {_file(now) for was, now in changed if was is None}
    added = removed = size = 0
    for was, now in changed:
        before, after = _file(was), _file(now)
        if before == after or (before is None and after in gone) or (after is None and before in came):
            continue
        left, right = (b"" if oid is None else objects.read(oid) for oid in (before, after))
        size += len(left) + len(right)
        if size > IN_PROCESS:
            return None
        stats = pygit2.Patch.create_from(left, right, context_lines=0).line_stats
        added, removed = added + stats[1], removed + stats[2]
    return added, removed


def _file(entry: TreeEntry | None) -> ObjectId | None:
    return entry[1] if entry is not None and entry[0] in FILE_MODES else None


async def _count_by_git(git: Git, old: CommitId, new: CommitId) -> tuple[int, int]:
    options = ("-r", "-z", "-M100%", "--numstat", "--no-ext-diff", "--no-textconv")
    found = await git.run("diff-tree", *options, old, new, "--")
    rows = [row.split(b"\t") for row in found.out.split(b"\0") if row.count(b"\t") == 2]
    counts = [(int(row[0]), int(row[1])) for row in rows if row[0] != b"-"]  # `-`: a binary file
    return sum(count[0] for count in counts), sum(count[1] for count in counts)

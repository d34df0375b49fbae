"""Applies changes to a git tree and compares two trees, at a cost proportional to what changed."""

import os
from collections.abc import Iterator, Mapping

import pygit2
from msgspec import Struct

from engine.repo.git.conversion import Conversion

FILE, EXECUTABLE, LINK, FOLDER = 0o100644, 0o100755, 0o120000, 0o040000
EMPTY_TREE = pygit2.Oid(hex="4b825dc642cb6eb9a060e54bf8d69288fbee4904")


class Content(Struct, frozen=True):
    """A changed file: its git mode and content (for a symlink, its target)."""

    mode: int
    data: bytes


FileChanges = dict[str, Content | None]
"""By path; None for a deleted file, or a deleted folder with everything below it."""


def tree_of(repo: pygit2.Repository, commit: str) -> pygit2.Tree:
    """The tree of a commit. Raises KeyError, ValueError or pygit2.GitError when there is no such commit."""
    return repo[commit].peel(pygit2.Commit).tree


def entries_of(tree: pygit2.Tree | None) -> dict[str, pygit2.Object]:
    return {os.fsdecode(entry.raw_name or b""): entry for entry in tree} if tree is not None else {}


def apply_changes(
    repo: pygit2.Repository,
    tree: pygit2.Tree | None,
    changes: FileChanges,
    conversion: Conversion,
    attributes: str,
    prefix: str = "",
) -> pygit2.Oid:
    """Write `tree` with `changes` applied, rewriting only the folders above a change.

    `attributes` is the commit whose `.gitattributes` decide about conversion. `prefix` is the path of `tree`.
    """
    known = entries_of(tree)
    entries = {name: (int(entry.filemode), entry.id) for name, entry in known.items()}
    inner: dict[str, FileChanges] = {}
    for path, content in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            inner.setdefault(name, {})[rest] = content
            continue
        entries.pop(name, None)
        if content is not None:
            data = content.data
            if content.mode != LINK:
                data = conversion.to_git(repo, data, prefix + name, attributes, known.get(name))
            entries[name] = (content.mode, repo.create_blob(data))
    for name, below in inner.items():
        old = known.get(name)
        folder = old if isinstance(old, pygit2.Tree) and name not in changes else None
        written = apply_changes(repo, folder, below, conversion, attributes, f"{prefix}{name}/")
        if written == EMPTY_TREE:
            entries.pop(name, None)
        else:
            entries[name] = (FOLDER, written)
    return _write_tree(repo, entries)


def _write_tree(repo: pygit2.Repository, entries: Mapping[str, tuple[int, pygit2.Oid]]) -> pygit2.Oid:
    """Write a tree, encoded by hand because pygit2's builder accepts only UTF-8 names."""
    rows = []
    for name, (mode, oid) in entries.items():
        raw = os.fsencode(name)
        rows.append((raw + b"/" if mode == FOLDER else raw, b"%o %s\0" % (mode, raw) + oid.raw))
    return repo.write(pygit2.GIT_OBJECT_TREE, b"".join(row for _, row in sorted(rows)))


def differences(
    old: pygit2.Tree | None, new: pygit2.Tree | None, prefix: str = ""
) -> Iterator[tuple[str, pygit2.Object | None]]:
    """Each path whose file differs, with its entry in `new`, or None where `new` has no file.

    Skips identical folders, unlike pygit2's own comparison, which walks the whole project.
    """
    before, after = entries_of(old), entries_of(new)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is not None and now is not None and (was.id, was.filemode) == (now.id, now.filemode):
            continue
        left = was if isinstance(was, pygit2.Tree) else None
        right = now if isinstance(now, pygit2.Tree) else None
        if now is not None and right is None:
            yield prefix + name, now
        elif was is not None and left is None:
            yield prefix + name, None
        if left is not None or right is not None:
            yield from differences(left, right, f"{prefix}{name}/")

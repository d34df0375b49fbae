"""Trees of a project: what changes make of one, and how two differ. The cost is what changed."""

import os
from collections.abc import Iterator, Mapping

import pygit2
from msgspec import Struct

from engine.repo.git.line_endings import kept

FILE, EXECUTABLE, LINK, FOLDER = 0o100644, 0o100755, 0o120000, 0o040000
EMPTY = pygit2.Oid(hex="4b825dc642cb6eb9a060e54bf8d69288fbee4904")


class Content(Struct, frozen=True):
    """A touched file: its git mode and content (a link's is its target)."""

    mode: int
    data: bytes


Changes = dict[str, Content | None]
"""By path; None for what is gone (a file, or a folder with all below it)."""


def entries_of(tree: pygit2.Tree | None) -> dict[str, pygit2.Object]:
    return {os.fsdecode(entry.raw_name or b""): entry for entry in tree} if tree is not None else {}


def apply(
    repo: pygit2.Repository, tree: pygit2.Tree | None, changes: Changes, attributes: str, prefix: str = ""
) -> pygit2.Oid:
    """Write the tree that `changes` make of `tree`; only folders on the way to a change are written anew.

    `attributes` is the commit whose `.gitattributes` say which line endings are kept. `prefix` is where `tree` is.
    """
    known = entries_of(tree)
    entries = {name: (int(entry.filemode), entry.id) for name, entry in known.items()}
    inner: dict[str, Changes] = {}
    for path, content in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            inner.setdefault(name, {})[rest] = content
            continue
        entries.pop(name, None)
        if content is not None:
            data = content.data
            if content.mode != LINK:
                data = kept(repo, data, prefix + name, attributes, known.get(name))
            entries[name] = (content.mode, repo.create_blob(data))
    for name, below in inner.items():
        old = known.get(name)
        folder = old if isinstance(old, pygit2.Tree) and name not in changes else None
        made = apply(repo, folder, below, attributes, f"{prefix}{name}/")
        if made == EMPTY:
            entries.pop(name, None)
        else:
            entries[name] = (FOLDER, made)
    return _write_tree(repo, entries)


def _write_tree(repo: pygit2.Repository, entries: Mapping[str, tuple[int, pygit2.Oid]]) -> pygit2.Oid:
    """Written by hand: the library's builder knows no names that are not UTF-8."""
    rows = []
    for name, (mode, oid) in entries.items():
        raw = os.fsencode(name)
        rows.append((raw + b"/" if mode == FOLDER else raw, b"%o %s\0" % (mode, raw) + oid.raw))
    return repo.write(pygit2.GIT_OBJECT_TREE, b"".join(row for _, row in sorted(rows)))


def differences(
    old: pygit2.Tree | None, new: pygit2.Tree | None, prefix: str = ""
) -> Iterator[tuple[str, pygit2.Object | None]]:
    """Each path where `new` has another file, with its entry there; None where it has none.

    Folders that are the same are not looked into: the library's own comparison walks the whole project.
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

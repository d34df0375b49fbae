"""Makes a change of what an agent's copy holds. As a program, for another process that has many to make at once.

The program reads frames of MessagePack from its standard input, a Setting first and then lists of Orders, answers each
list in order, and ends with its input.
"""

import gc
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import pygit2
from msgspec import Struct, msgpack

from engine.ports.protocols import WorkspaceError
from engine.repo.changes.scan import Scan
from engine.repo.git.ignores import Rules
from engine.repo.git.objects import NewObjects, ObjectId, ObjectStore, TreeEntry
from engine.repo.git.trees import Content

WHO = "swarm <swarm@localhost>"
LARGEST = 4 << 20
"""Bytes of a change that stay in memory."""


class Setting(Struct, frozen=True):
    """What all orders share: the trunk's repo, and what git ignores beside `.gitignore` files."""

    git_dir: bytes
    excludes: Rules


class Order(Struct, frozen=True):
    """The upper folder of a copy that started as the tree `root`, and what its commit says (`at` in seconds)."""

    changed: bytes
    root: ObjectId
    carried: tuple[bytes, ...]
    base: str
    message: bytes
    at: int


class Made(Struct, frozen=True):
    """A commit, its tree and the objects that are new with them; or why what is there cannot land."""

    commit: ObjectId = b""
    tree: ObjectId = b""
    objects: dict[ObjectId, tuple[bytes, bytes]] = {}
    delta_bases: dict[ObjectId, ObjectId] = {}
    refused: str = ""


def size_of(new: NewObjects) -> int:
    return sum(len(data) for _, data in new.unwritten.values())


def build(
    new: NewObjects, root: ObjectId, base: str, contents: Mapping[str, Content | None], message: bytes, at: int
) -> tuple[ObjectId, ObjectId]:
    """Make the commit on `base` that is the tree `root` with these contents; the commit and its tree.

    Raises ValueError for content that git would not read.
    """
    changes: dict[bytes, TreeEntry | None] = {}
    for path, content in contents.items():
        if content is not None:
            changes[os.fsencode(path)] = (b"%o" % content.mode, new.add(b"blob", content.data))
        else:
            changes[os.fsencode(path)] = None
    tree = new.edit_tree(root, changes)
    return new.commit(tree, [base], WHO, at, message), tree


def make(store: ObjectStore, excludes: Rules, order: Order) -> Made | None:
    """None for what takes more than the objects to make: line endings, large files, a copy that cannot be read."""
    try:
        carried = frozenset(map(os.fsdecode, order.carried))
        scan = Scan(NewObjects(store), order.root, None, carried, excludes)
        contents = scan.run(Path(os.fsdecode(order.changed)))
        if scan.left_out:
            return Made(refused=scan.left_out[0].encode("utf-8", "replace").decode())
        if has_crlf(contents):
            return None
        new = NewObjects(store)
        commit, tree = build(new, order.root, order.base, contents, order.message, order.at)
    except (WorkspaceError, OSError, ValueError, KeyError, pygit2.GitError):
        return None  # whoever asked will see for themselves
    return Made(commit, tree, new.unwritten, new.delta_bases) if size_of(new) <= LARGEST else None


def has_crlf(contents: Mapping[str, Content | None]) -> bool:
    """Whether git may store something else than what is in the files."""
    return any(content is not None and b"\r\n" in content.data for content in contents.values())


def frame(value: object) -> bytes:
    data = msgpack.encode(value)
    return struct.pack(">I", len(data)) + data


def _frames(file: BinaryIO, length: int = 4) -> bytes:
    head = file.read(length)
    return file.read(struct.unpack(">I", head)[0]) if len(head) == length else b""


def main() -> None:
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    setting = msgpack.decode(_frames(given), type=Setting)
    store = ObjectStore(Path(os.fsdecode(setting.git_dir)))
    decoder = msgpack.Decoder(list[Order])
    gc.freeze()
    while asked := _frames(given):
        answers.write(frame([make(store, setting.excludes, order) for order in decoder.decode(asked)]))
        answers.flush()


if __name__ == "__main__":
    main()

"""Builds a commit from what an agent changed; as a program, does so for another process that has many to build.

The program reads frames of MessagePack from standard input: one BuilderSetup, then lists of BuildRequests. It answers
each list in order and exits at the end of its input.
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
from msgspec.structs import replace

from engine.ports.protocols import WorkspaceError
from engine.repo.changes.scan import Scan
from engine.repo.git.ignores import Rules
from engine.repo.git.line_counts import changed_lines
from engine.repo.git.objects import Differences, NewObjects, ObjectId, ObjectStore, TreeEntry
from engine.repo.git.trees import Content

COMMITTER = "swarm <swarm@localhost>"
MAX_IN_MEMORY = 4 << 20
"""The largest change, in bytes, that stays in memory until it lands."""


class BuilderSetup(Struct, frozen=True):
    """What all requests share: the trunk's git folder, and ignore rules outside `.gitignore` files."""

    git_dir: bytes
    excludes: Rules


class BuildRequest(Struct, frozen=True):
    """The upper folder of an overlay over the tree `root`, and the commit to build (`at` in seconds since 1970)."""

    upper: bytes
    root: ObjectId
    extra_tracked: tuple[bytes, ...]
    base: str
    message: bytes
    at: int


class BuiltCommit(Struct, frozen=True):
    """A commit, its tree and the new objects of both; or in `rejected` why the change cannot land.

    `differences`: what the commit's tree changes in the tree it was built from. `lines`: the counts of added and
    removed lines, if they have been counted.
    `left_out`: paths of the workspace that are not in the commit, and why.
    """

    commit: ObjectId = b""
    tree: ObjectId = b""
    objects: dict[ObjectId, tuple[bytes, bytes]] = {}
    delta_bases: dict[ObjectId, ObjectId] = {}
    differences: Differences = {}
    lines: tuple[int, int] | None = None
    rejected: str = ""
    left_out: dict[str, str] = {}


def content_size(new: NewObjects) -> int:
    return sum(len(data) for _, data in new.unwritten.values())


def build_commit(
    new: NewObjects, root: ObjectId, base: str, contents: Mapping[str, Content | None], message: bytes, at: int
) -> BuiltCommit:
    """Build a commit on `base` whose tree is `root` with `contents` applied.

    Raises ValueError for content that git would refuse to read.
    """
    changes: dict[bytes, TreeEntry | None] = {}
    for path, content in contents.items():
        if content is not None:
            changes[os.fsencode(path)] = (b"%o" % content.mode, new.add(b"blob", content.data))
        else:
            changes[os.fsencode(path)] = None
    tree = new.edit_tree(root, changes)
    commit = new.commit(tree, [base], COMMITTER, at, message)
    return BuiltCommit(commit, tree, new.unwritten, new.delta_bases, new.edited(root, changes, tree))


def build_from_overlay(store: ObjectStore, excludes: Rules, request: BuildRequest) -> BuiltCommit | None:
    """Scan an overlay and build its commit. None if the caller must do it: conversion, large or unreadable files."""
    try:
        extra_tracked = frozenset(map(os.fsdecode, request.extra_tracked))
        scan = Scan(NewObjects(store), request.root, None, extra_tracked, excludes)
        contents = scan.run(Path(os.fsdecode(request.upper)))
        if scan.rejected:
            return BuiltCommit(rejected=scan.rejected[0])
        if may_convert(scan):
            return None
        new = NewObjects(store)
        built = build_commit(new, request.root, request.base, contents, request.message, request.at)
        if content_size(new) > MAX_IN_MEMORY:
            return None
        return replace(built, lines=changed_lines(new, built.differences.values()), left_out=scan.left_out)
    except (WorkspaceError, OSError, ValueError, KeyError, pygit2.GitError):
        return None  # the caller will meet the same error and report it


def may_convert(scan: Scan) -> bool:
    """Whether git might store another content than a changed file has."""
    found = (content.data for content in scan.changes.values() if content is not None)
    return scan.has_converters or any(b"\r\n" in data or b"$Id:" in data for data in found)


def encode_frame(value: object) -> bytes:
    data = msgpack.encode(value)
    return struct.pack(">I", len(data)) + data


def _read_frame(file: BinaryIO, length: int = 4) -> bytes:
    head = file.read(length)
    return file.read(struct.unpack(">I", head)[0]) if len(head) == length else b""


def main() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    setup = msgpack.decode(_read_frame(requests), type=BuilderSetup)
    store = ObjectStore(Path(os.fsdecode(setup.git_dir)))
    decoder = msgpack.Decoder(list[BuildRequest])
    gc.freeze()
    while batch := _read_frame(requests):
        built = [build_from_overlay(store, setup.excludes, request) for request in decoder.decode(batch)]
        answers.write(encode_frame(built))
        answers.flush()


if __name__ == "__main__":
    main()

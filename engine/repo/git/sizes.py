"""Reads the sizes of files in a commit."""

from collections.abc import Iterable
from pathlib import Path

import pygit2

from engine.domain.os_text import path_str
from engine.domain.types import CommitId


def file_sizes(git_dir: Path, commit: CommitId, paths: Iterable[str]) -> dict[str, int]:
    """Sizes in bytes by path. Leaves out paths that are not files in `commit`; empty without such a repo or commit."""
    try:
        tree = pygit2.Repository(str(git_dir))[commit].peel(pygit2.Commit).tree
    except (pygit2.GitError, KeyError, ValueError):
        return {}
    found: dict[str, int] = {}
    for path in paths:
        try:
            entry = tree[path_str(path)]
            if isinstance(entry, pygit2.Blob):
                found[path] = entry.size
        except (pygit2.GitError, KeyError, ValueError):
            continue
    return found

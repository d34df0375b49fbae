"""How large files of a commit are."""

from collections.abc import Iterable
from pathlib import Path

import pygit2

from engine.domain.types import CommitId


def sizes_of(git_dir: Path, commit: CommitId, paths: Iterable[str]) -> dict[str, int]:
    """In bytes, by path; what is no file there, or no longer, is left out. Empty where there is no such repo."""
    try:
        tree = pygit2.Repository(str(git_dir))[commit].peel(pygit2.Commit).tree
    except (pygit2.GitError, KeyError, ValueError):
        return {}
    found: dict[str, int] = {}
    for path in paths:
        try:
            entry = tree[path]
            if isinstance(entry, pygit2.Blob):
                found[path] = entry.size
        except (pygit2.GitError, KeyError, ValueError):
            continue
    return found

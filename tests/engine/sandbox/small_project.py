"""A repository with one commit, and the trunk of a run on it."""

from pathlib import Path

from engine.domain.types import CommitId
from tests.git import git


def project(folder: Path) -> CommitId:
    """A repo with one commit, and the trunk that borrows from it."""
    source = folder / "source"
    git(folder, "init", "-q", "source")
    git(source, "commit", "-qm", "a", "--allow-empty")
    git(folder, "clone", "-q", "--bare", "source", "trunk.git")
    return CommitId(git(source, "rev-parse", "HEAD"))

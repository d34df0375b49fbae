"""A small repository for tests to edit and commit to."""

from pathlib import Path

from engine.domain.types import CommitId
from tests.git import copy_commits, git


class SmallRepo:
    """The repository `source` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.git(folder, "init", "-q", "-b", "main", "source")

    def git(self, where: Path, *args: str) -> str:
        return git(where, *args)

    def write(self, path: str, text: str) -> None:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self) -> CommitId:
        self.git(self.source, "add", "-A")
        self.git(self.source, "commit", "-q", "--allow-empty", "-m", "edit")
        if (self.folder / "trunk.git").exists():
            copy_commits(self.source, self.folder / "trunk.git")
        return CommitId(self.git(self.source, "rev-parse", "HEAD"))

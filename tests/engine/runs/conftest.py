"""The git folder of a repository to run on."""

from pathlib import Path

import pytest


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    made = tmp_path / "My Project!" / ".git"
    made.mkdir(parents=True)
    return made

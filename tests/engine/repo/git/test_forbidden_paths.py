"""Paths that git would refuse to check out, compared with git itself."""

import subprocess
from pathlib import Path

import pytest

from engine.repo.git.forbidden_paths import refusal

NAMES = (
    ".git ", ".git.", ".git . ", ".GIT:x", "git~1", "Git~1.", "git~2", ".gitt", ".git-x", "x.git", "a\\.git", "a\\b",
    "a\\git~1:y", "src/.git ", "src/x/Git~1", ".git /config", ".g\u200cit", "\u206f.giT", "src/.g\ufeffit/x", "...",
    ".gitmodules", ".gitMODULES", ".gitmodules ", "gitmod~1", "GITMOD~4", "gi7eba~1", "gi7eb~12", "gi~12345",
    ".gitignore", ".gitmod", "a:b", "src/.gitmodules", "git", "gi7eba", "g\u0131t~1", ".g\u0131t",
)  # fmt: skip
"""Names that git accepts, and names that it rejects."""


@pytest.mark.parametrize("link", [False, True], ids=["files", "links"])
def test_names_that_git_rejects_do_not_land(tmp_path: Path, link: bool) -> None:
    def refuses(name: str) -> bool:
        entry = f"{'120000' if link else '100644'},{'1' * 40},{name}"
        strict = ["-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"]
        command = ["git", *strict, "update-index", "--add", "--info-only", "--cacheinfo", entry]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    landing = [name for name in NAMES if not refusal(name, b"", link=link)]
    assert landing == [name for name in NAMES if not refuses(name)]

"""Line endings, compared with what git itself stores and checks out."""

import subprocess
from pathlib import Path

import pygit2
import pytest

from engine.repo.git.line_endings import convert_to_git, convert_to_work_tree
from tests.git import IDENTITY

CONTENTS = [
    b"", b"one\n", b"one\r\n", b"one\r\ntwo\n", b"one\rtwo\r\n", b"\0one\r\n", b"\0one\n", b"\x01\x02\r\n", b"\x01\n",
    b"a" * 200 + b"\x01\r\n", b"\n" * 300 + b"\x01\n", b"x\r\n" * 3 + b"\xff", b"no end",
]  # fmt: skip


@pytest.mark.parametrize(
    "attributes",
    ["", "text", "-text", "text=auto", "eol=crlf", "eol=lf", "text eol=crlf", "text=auto eol=crlf", "binary",
     "-text eol=crlf", "text=auto eol=lf", "eol=other"],
)  # fmt: skip
def test_files_are_stored_and_checked_out_as_git_does(attributes: str, tmp_path: Path) -> None:
    def git(*args: str, given: bytes = b"") -> bytes:
        command = ["git", *IDENTITY, *args]
        return subprocess.run(command, cwd=tmp_path, input=given, capture_output=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / ".gitattributes").write_text(f"file {attributes}\n")
    git("add", ".gitattributes")
    git("commit", "-qm", "attributes")
    repo = pygit2.Repository(str(tmp_path))
    commit = git("rev-parse", "HEAD").decode()
    for content in CONTENTS:
        oid = git("hash-object", "-w", "--path=file", "--stdin", given=content)
        assert str(repo.create_blob(convert_to_git(repo, content, "file", commit, None))) == oid.decode(), content
        raw = str(repo.create_blob(content))
        written = subprocess.run(
            ["git", "cat-file", "--filters", "--path=file", raw], cwd=tmp_path, capture_output=True, check=True
        ).stdout
        assert convert_to_work_tree(repo, content, "file", commit) == written, content

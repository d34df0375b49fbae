"""Line ends, encodings and `$Id$`, compared with what git itself stores and checks out."""

import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pygit2
import pytest

from engine.repo.git.conversion import Conversion, read_conversion, user_conversion
from tests.git import IDENTITY

CONTENTS = [
    b"", b"one\n", b"one\r\n", b"one\r\ntwo\n", b"one\rtwo\r\n", b"\0one\r\n", b"\0one\n", b"\x01\x02\r\n", b"\x01\n",
    b"a" * 200 + b"\x01\r\n", b"\n" * 300 + b"\x01\n", b"x\r\n" * 3 + b"\xff", b"no end",
]  # fmt: skip
ATTRIBUTES = [
    "", "text", "-text", "text=auto", "eol=crlf", "eol=lf", "text eol=crlf", "text=auto eol=crlf", "binary",
    "-text eol=crlf", "text=auto eol=lf", "eol=other", "text=input", "crlf", "-crlf", "crlf=input", "text=odd crlf",
]  # fmt: skip
SETTINGS = [Conversion(), *(Conversion(crlf, eol) for crlf in ("true", "input", "") for eol in ("crlf", "lf"))]
Git = Callable[..., bytes]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    def run(*args: str, given: bytes = b"") -> bytes:
        command = ["git", *IDENTITY, *args]
        return subprocess.run(command, cwd=tmp_path, input=given, capture_output=True, check=True).stdout

    run("init", "-q")
    return run


def commit_attributes(git: Git, folder: Path, attributes: str) -> tuple[pygit2.Repository, str]:
    (folder / ".gitattributes").write_text(attributes)
    git("add", ".gitattributes")
    git("commit", "-qm", "attributes")
    return pygit2.Repository(str(folder)), git("rev-parse", "HEAD").decode().strip()


def compare(git: Git, repo: pygit2.Repository, commit: str, conversion: Conversion, content: bytes) -> None:
    """Compare what is stored for a file, and what is checked out for a blob."""
    settings = [word for each in conversion.config for word in ("-c", each)]
    stored = git(*settings, "hash-object", "-w", "--path=file", "--stdin", given=content).decode().strip()
    assert str(repo.create_blob(conversion.to_git(repo, content, "file", commit, None))) == stored, content
    written = git(*settings, "cat-file", "--filters", "--path=file", str(repo.create_blob(content)))
    assert conversion.to_work_tree(repo, content, "file", commit) == written, content


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_files_are_stored_and_checked_out_as_git_does(attributes: str, git: Git, tmp_path: Path) -> None:
    repo, commit = commit_attributes(git, tmp_path, f"file {attributes}\n")
    for conversion, content in product(SETTINGS, CONTENTS):
        compare(git, repo, commit, conversion, content)


@pytest.mark.parametrize("conversion", SETTINGS, ids=str)
def test_a_file_that_was_stored_with_crlf_stays_as_git_would_leave_it(
    conversion: Conversion, git: Git, tmp_path: Path
) -> None:
    repo, commit = commit_attributes(git, tmp_path, "")
    for old, new in product([b"one\r\n", b"one\n", b"\0\r\n", b"one\r\ntwo\n"], [b"1\r\n2\r\n", b"1\r\n2\n"]):
        blob = git("hash-object", "-w", "--stdin", given=old).decode().strip()
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},file")
        (tmp_path / "file").write_bytes(new)
        git(*[word for each in conversion.config for word in ("-c", each)], "add", "file")
        assert conversion.to_git(repo, new, "file", commit, repo[blob]) == git("cat-file", "blob", ":file"), (old, new)


@pytest.mark.parametrize(
    "content",
    [
        b"$Id$\n",
        b"$Id: 1234 $\r\n",
        b"$Id: by other $\n",
        b"$Id:$ $Id$",
        b"$Id: broken\n$Id$",
        b"$Ident$",
        b"$Id: x$\n",
    ],
)
def test_ids_are_stored_and_expanded_as_git_does(content: bytes, git: Git, tmp_path: Path) -> None:
    repo, commit = commit_attributes(git, tmp_path, "file ident\n")
    compare(git, repo, commit, Conversion(), content)


@pytest.mark.parametrize(
    "encoding", ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-16LE-BOM", "UTF-32", "utf-8", "UTF8", "ISO-8859-1", "CP1252"]
)
@pytest.mark.parametrize("more", ["", "text eol=crlf"])
def test_encodings_are_stored_and_checked_out_as_git_does(encoding: str, more: str, git: Git, tmp_path: Path) -> None:
    repo, commit = commit_attributes(git, tmp_path, f"file working-tree-encoding={encoding} {more}\n")
    text = "one ü\ntwo\n".encode()
    written = git("cat-file", "--filters", "--path=file", str(repo.create_blob(text)))
    assert Conversion().to_work_tree(repo, text, "file", commit) == written
    stored = git("hash-object", "-w", "--path=file", "--stdin", given=written).decode().strip()
    assert str(repo.create_blob(Conversion().to_git(repo, written, "file", commit, None))) == stored


@pytest.mark.parametrize("data", [b"odd", b"no mark", b"\xff"])
def test_a_file_that_is_not_in_its_encoding_is_an_error_where_it_is_to_be_stored(
    data: bytes, git: Git, tmp_path: Path
) -> None:
    repo, commit = commit_attributes(git, tmp_path, "file working-tree-encoding=UTF-16\n")
    assert Conversion().to_git(repo, data, "file", commit, None) == data
    with pytest.raises(ValueError, match="file is not UTF-16"):
        Conversion().to_git(repo, data, "file", commit, None, strict=True)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, Conversion()),
        ({"autocrlf": "Input"}, Conversion("input")),
        ({"autocrlf": "yes", "eol": "crlf"}, Conversion("true", "crlf")),
        ({"autocrlf": "false", "eol": "native"}, Conversion()),
        ({"autocrlf": "$(touch ran)", "eol": "\ncrlf"}, Conversion()),
    ],
)
async def test_the_settings_of_the_users_git_are_read(
    settings: dict[str, str], found: Conversion, git: Git, tmp_path: Path
) -> None:
    for key, value in settings.items():
        git("config", f"core.{key}", value)
        git("config", f"swarm.{key}", value)
    assert await user_conversion(tmp_path) == await read_conversion(tmp_path / ".git") == found

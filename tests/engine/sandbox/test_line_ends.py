"""The line end of a new file is that of the files beside it, as the launcher finds it."""

import os
from pathlib import Path

import pytest

from engine.sandbox.inside.line_ends import line_end_beside


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    files = {
        "win/a.cs": b"a\r\nb\r\n",
        "win/b.txt": b"a\nb\nc\nd\n",
        "win/run.sh": b"#!/bin/sh\nexit\n",
        "blank/empty.cs": b"",
        "unix/a.cs": b"a\nb\n",
        "top.bat": b"a\r\n",
        "data.bin": b"\0\n\n\n\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return os.fsencode(tmp_path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("win/new.cs", b"\r\n"),
        ("win/new.txt", b"\n"),
        ("win/new.rs", b"\n"),  # none is like it: all lines of the folder count
        ("win/new.sh", b"\n"),  # a script says nothing
        ("win/deeper/still/new.cs", b"\r\n"),
        ("blank/new.cs", b"\r\n"),  # of the folder above
        ("unix/new.cs", b"\n"),
        ("new.bat", b"\r\n"),
        ("../new.bat", b"\n"),
    ],
)
def test_the_nearest_folder_with_lines_says_how_a_new_file_ends_its_lines(
    root: bytes, path: str, expected: bytes
) -> None:
    if path.startswith(".."):
        (Path(os.fsdecode(root)) / "top.bat").unlink()
    assert line_end_beside(root, path.encode()) == [expected]


def test_a_link_out_of_the_copy_says_nothing(root: bytes, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "a.py").write_bytes(b"a\r\n")
    (tmp_path / "linked").symlink_to(outside)
    (tmp_path / "only").mkdir()
    (tmp_path / "only/a.py").symlink_to(outside / "a.py")
    (tmp_path / "top.bat").unlink()
    assert line_end_beside(root, b"linked/new.py") == [b"\n"]
    assert line_end_beside(root, b"only/new.py") == [b"\n"]

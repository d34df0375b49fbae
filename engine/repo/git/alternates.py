"""Reads and writes `objects/info/alternates`: the object folders that a repository borrows from."""

import os
from collections.abc import Sequence
from pathlib import Path

from engine.domain.patch import unquoted
from engine.repo.git.regular_file import read_regular

_MAX_DEPTH = 5  # as deep as git itself follows
_MAX_BYTES = 1 << 20


def object_folders(objects: Path) -> list[Path]:
    """An object folder and all folders it borrows from, as absolute paths without symlinks, each once.

    The list is flat because git rejects relative paths in nested alternates.
    """
    found: dict[Path, None] = {}
    _collect(objects.resolve(), found, 0)
    return list(found)


def write_alternates(git_dir: Path, folders: list[Path]) -> None:
    """Make a repository borrow the objects in `folders`."""
    info = git_dir / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_bytes(alternates(folders))


def alternates(folders: Sequence[Path]) -> bytes:
    """The content of the file."""
    return b"".join(_quoted(os.fsencode(folder)) + b"\n" for folder in folders)


def init_borrower(git_dir: Path, objects: list[Path]) -> None:
    """Create a bare repository that has only borrowed objects."""
    for name in ("objects", "refs"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text("ref: refs/heads/none\n")
    (git_dir / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
    write_alternates(git_dir, objects)


def _collect(objects: Path, found: dict[Path, None], depth: int) -> None:
    if objects in found or depth > _MAX_DEPTH or not objects.is_dir():
        return
    found[objects] = None
    for line in read_regular(objects / "info" / "alternates", _MAX_BYTES).split(b"\n"):
        if line and not line.startswith(b"#"):
            # Joining with an absolute path yields that path.
            _collect((objects / os.fsdecode(unquoted(line))).resolve(), found, depth + 1)


def _quoted(path: bytes) -> bytes:
    if b"\n" not in path:
        return path
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'

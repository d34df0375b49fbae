"""Reads and writes lists of borrowed object folders (`objects/info/alternates`)."""

import os
import re
from pathlib import Path

from engine.domain.patch import unquoted

_DEPTH = 5  # as deep as git itself follows

_OWN = re.compile(
    r"[0-9a-f]{2}|pack|info|loose-object-idx|(?:tmp_|incoming-|\.nfs).*|.*\.(?:lock|tmp)|\.DS_Store|desktop\.ini"
)
"""What lies in an object folder: of git, and of those who put something into every folder."""


def all_objects(objects: Path) -> list[Path]:
    """An object folder and all that it borrows from, absolute and real, each once.

    Flat because git refuses relative paths in the lists of borrowed folders. A folder of other things than objects is
    left out: agents can read what is listed here, and the list comes with a repo that may be anyone's.
    """
    found: dict[Path, None] = {}
    _collect(objects.resolve(), found, 0)
    return list(found)


def stray(objects: Path) -> str:
    """What is in an object folder that is neither git's nor known to lie anywhere; empty when nothing is."""
    try:
        return next((name for name in sorted(os.listdir(objects)) if not _OWN.fullmatch(name)), "")
    except OSError:
        return ""


def write_alternates(git_dir: Path, folders: list[Path]) -> None:
    """Let a repo borrow the objects in `folders`."""
    info = git_dir / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    lines = [_quoted(os.fsencode(folder)) for folder in folders]
    (info / "alternates").write_bytes(b"".join(line + b"\n" for line in lines))


def make_borrower(git_dir: Path, objects: list[Path]) -> None:
    """A bare repo of nothing but what it borrows."""
    for name in ("objects", "refs"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text("ref: refs/heads/none\n")
    (git_dir / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
    write_alternates(git_dir, objects)


def _collect(objects: Path, found: dict[Path, None], depth: int) -> None:
    if objects in found or depth > _DEPTH or not objects.is_dir() or stray(objects):
        return
    found[objects] = None
    try:
        lines = (objects / "info" / "alternates").read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        if line and not line.startswith(b"#"):
            # Joining with an absolute path gives that path.
            _collect((objects / os.fsdecode(unquoted(line))).resolve(), found, depth + 1)


def _quoted(path: bytes) -> bytes:
    if b"\n" not in path:
        return path
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'

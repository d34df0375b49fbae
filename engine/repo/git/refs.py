"""Sets a ref by compare-and-swap as git does, lock file and all, and so that it survives a power cut."""

import os
from pathlib import Path

from engine.domain.types import CommitId
from engine.repo.git.pack_writer import sync_folder


def loose(git_dir: Path, ref: str) -> CommitId | None:
    """What a ref that is a file of its own holds; None when it is kept in another way, or not there."""
    try:
        text = (git_dir / ref).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return CommitId(text) if text and not text.startswith("ref:") else None


def swap_loose(git_dir: Path, ref: str, new: CommitId, old: CommitId) -> bool:
    """Set a ref for which `loose` knew something if it still is `old`. False when it is not.

    Raises FileExistsError while someone else holds its lock, OSError when the disk refuses.
    """
    lock = git_dir / f"{ref}.lock"
    fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{new}\n")
            file.flush()
            os.fsync(fd)
        if loose(git_dir, ref) != old:
            lock.unlink()
            return False
        os.rename(lock, git_dir / ref)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise
    sync_folder((git_dir / ref).parent)
    return True

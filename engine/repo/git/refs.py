"""Reads refs and moves them by compare-and-swap, as git does, with a lock file. A moved ref survives a power cut."""

import asyncio
import os
import time
from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId
from engine.repo.git.git import Git, disk_error, hint_for
from engine.repo.git.pack_writer import sync_folder

STALE_S = 10.0
"""Lock files and temporary files older than this belong to dead processes."""
_TRIES = 20


class Refs:
    """The refs of one repository."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._git = Git(git_dir, git_dir=git_dir)

    async def read(self, ref: str) -> CommitId | None:
        """The commit that a ref points to; None when there is no such ref. Raises SwarmError (git)."""
        if (found := _read_loose(self._git_dir, ref)) is not None:
            return found
        result = await self._git.run("rev-parse", "--verify", "--quiet", ref, accept=(0, 1))
        return CommitId(result.text) if result.exit == 0 else None

    async def compare_and_swap(self, ref: str, new: CommitId, old: CommitId | None) -> bool:
        """Set a ref to `new` if it is still `old` (None: does not exist); returns whether it was.

        Waits while another process holds the ref's lock, and removes a lock that a dead process left. Raises SwarmError
        (git).
        """
        for attempt in range(_TRIES):
            if old is not None and _read_loose(self._git_dir, ref) is not None:
                try:
                    return await asyncio.to_thread(_swap_loose, self._git_dir, ref, new, old)
                except FileExistsError:
                    pass
                except OSError as error:
                    raise disk_error(f"cannot move {ref}", error) from error
            else:
                expected = old or "0" * len(new)
                result = await self._git.run("update-ref", "--no-deref", ref, new, expected, accept=range(256))
                if result.exit == 0:
                    return True
                if (now := await self.read(ref)) != old:
                    return now == new
                if "File exists" not in result.err:
                    raise SwarmError(ErrorKind.GIT, f"git update-ref: {result.error_line}", hint_for(result.err))
            self._remove_stale_lock(ref)
            await asyncio.sleep(0.01 * (attempt + 1))
        lock = self._git_dir / f"{ref}.lock"
        raise SwarmError(ErrorKind.GIT, f"{ref} is still locked", f"if no git process is running: rm {lock}")

    async def delete(self, ref: str) -> None:
        """Delete a ref if it exists. Raises SwarmError (git)."""
        result = await self._git.run("update-ref", "--no-deref", "-d", ref, accept=range(256))
        if result.exit:
            raise SwarmError(ErrorKind.GIT, f"git update-ref: {result.error_line}", hint_for(result.err))

    def _remove_stale_lock(self, ref: str) -> None:
        lock = self._git_dir / f"{ref}.lock"
        try:
            if time.time() - lock.stat().st_mtime > STALE_S:
                lock.unlink()
        except FileNotFoundError:
            pass


def _read_loose(git_dir: Path, ref: str) -> CommitId | None:
    """The commit in a ref's own file; None when the ref is stored otherwise or does not exist."""
    try:
        text = (git_dir / ref).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return CommitId(text) if text and not text.startswith("ref:") else None


def _swap_loose(git_dir: Path, ref: str, new: CommitId, old: CommitId) -> bool:
    """Compare-and-swap a ref that has a file of its own.

    Raises FileExistsError while another process holds its lock, OSError when the disk fails.
    """
    lock = git_dir / f"{ref}.lock"
    fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(f"{new}\n")
            file.flush()
            os.fsync(fd)
        if _read_loose(git_dir, ref) != old:
            lock.unlink()
            return False
        os.rename(lock, git_dir / ref)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise
    sync_folder((git_dir / ref).parent)
    return True

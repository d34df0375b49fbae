"""Locks a run and its repo, so that only one process at a time runs a swarm on a repo."""

import fcntl
import os
import time
from pathlib import Path

from msgspec import Struct, json

from engine.domain.errors import ErrorKind, SwarmError
from engine.runs.folder import RunFolder, cannot_write, prepare_socket

_PROBES = 10
_PROBE_S = 0.02
"""Seconds between two tries to lock: a process that lists runs holds a shared lock for some microseconds."""


class Owner(Struct, frozen=True):
    """The content of a lock file: who holds the lock."""

    pid: int
    run: str


class RunLock:
    """The lock on a run and its repo, held until `release` or the end of the process."""

    def __init__(self, folder: RunFolder, held: list[int]) -> None:
        self.folder = folder
        self._held = held

    @classmethod
    def acquire(cls, folder: RunFolder) -> "RunLock":
        """Raises SwarmError: busy if another process holds the lock of the run or the repo, state if locking fails."""
        repo_lock = take(folder.path.parent / "lock", folder.run)
        try:
            return cls.with_repo(folder, repo_lock)
        except BaseException:
            release([repo_lock])
            raise

    @classmethod
    def with_repo(cls, folder: RunFolder, repo_lock: int) -> "RunLock":
        """Lock a run whose repo is already locked. If this raises, the caller has to release the repo's lock."""
        held: list[int] = []
        try:
            held.append(take(folder.lock, folder.run))
            prepare_socket(folder)
        except BaseException:
            release(held)
            raise
        return cls(folder, [repo_lock, *held])

    def release(self) -> None:
        release(self._held)


def release(held: list[int]) -> None:
    """Release the locks that `take` returned."""
    while held:
        fd = held.pop()
        try:
            os.ftruncate(fd, 0)
        except OSError:
            pass  # the content counts only while the lock is held
        finally:
            os.close(fd)


def take(lock: Path, run: str) -> int:
    """Lock a file; returns the descriptor that holds the lock. Raises SwarmError (busy, state)."""
    try:
        while True:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _hold(fd, lock)
                if _is_still(fd, lock):
                    name_owner(fd, run)
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
    except OSError as error:
        raise cannot_write(lock.parent, error) from error


def _hold(fd: int, lock: Path) -> None:
    for _ in range(_PROBES):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PROBE_S)
    raise _busy(lock)


def _is_still(fd: int, lock: Path) -> bool:
    """Whether the locked file is still at its path: a failed start of a run removes its lock file."""
    try:
        return os.path.samestat(os.fstat(fd), lock.stat())
    except FileNotFoundError:
        return False


def name_owner(fd: int, run: str) -> None:
    """Write into a lock file who holds the lock."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.encode(Owner(os.getpid(), run)), 0)


def _busy(lock: Path) -> SwarmError:
    owner = owner_of(lock)
    who = f"process {owner.pid}" if owner else "another process"
    run = (owner and owner.run) or "RUN"
    return SwarmError(
        ErrorKind.BUSY,
        f"{who} already runs a swarm on this repo",
        f"watch it: swarm-tui attach {run}; or stop it: swarm-tui send {run} stop",
    )


def owner_of(lock: Path) -> Owner | None:
    """The holder that a lock file names; None if it names none."""
    try:
        return json.decode(lock.read_bytes(), type=Owner)
    except (OSError, ValueError):
        return None


def is_live(folder: RunFolder) -> bool:
    """Whether a process runs the run."""
    try:
        fd = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False

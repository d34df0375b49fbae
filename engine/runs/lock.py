"""Who owns a run: a lock on it and on its repo, for as long as a process lives."""

import fcntl
import os
import time
from pathlib import Path

from msgspec import Struct, json

from engine.domain.errors import ErrorKind, SwarmError
from engine.runs.folder import RunFolder, cannot_write, prepare_socket

_PROBES = 10
_PROBE_S = 0.02
"""A listing holds a shared lock for some microseconds; whoever wants the lock itself asks again after this."""


class Owner(Struct, frozen=True):
    """What a lock file says about who holds it."""

    pid: int
    run: str


class RunLock:
    """Ownership of a run and of its repo, for as long as the process lives or until `release`."""

    def __init__(self, folder: RunFolder, held: list[int]) -> None:
        self.folder = folder
        self._held = held

    @classmethod
    def acquire(cls, folder: RunFolder) -> "RunLock":
        """Raises SwarmError (busy) when another process has the run or another run of its repo; (state) otherwise."""
        repo_lock = take(folder.path.parent / "lock", folder.run)
        try:
            return cls.with_repo(folder, repo_lock)
        except BaseException:
            release([repo_lock])
            raise

    @classmethod
    def with_repo(cls, folder: RunFolder, repo_lock: int) -> "RunLock":
        """Own a run whose repo's lock is held already. That lock stays the caller's to release when this raises."""
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
    """Let go of what `take` returned."""
    while held:
        fd = held.pop()
        try:
            os.ftruncate(fd, 0)
        except OSError:
            pass  # what it says is read only while it is held
        finally:
            os.close(fd)


def take(lock: Path, run: str) -> int:
    """A file descriptor that holds the lock. Raises SwarmError (busy, state)."""
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
    """Whether the file that was locked is the one that others find: a start that failed removes its own."""
    try:
        return os.path.samestat(os.fstat(fd), lock.stat())
    except FileNotFoundError:
        return False


def name_owner(fd: int, run: str) -> None:
    """Write into a lock who holds it."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.encode(Owner(os.getpid(), run)), 0)


def _busy(lock: Path) -> SwarmError:
    owner = owner_of(lock)
    who = f"process {owner.pid}" if owner else "another process"
    run = (owner and owner.run) or "RUN"
    return SwarmError(
        ErrorKind.BUSY,
        f"{who} already runs a swarm on this repo",
        f"look at it with `swarm-tui attach {run}`, or stop it",
    )


def owner_of(lock: Path) -> Owner | None:
    """Whoever holds the lock, as its file says; None when it does not say yet."""
    try:
        return json.decode(lock.read_bytes(), type=Owner)
    except (OSError, ValueError):
        return None


def is_live(folder: RunFolder) -> bool:
    """Whether a process owns the run."""
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

"""Locks a run and its repo, so that only one process at a time runs a swarm on a repo."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, json

from engine.domain.errors import ErrorKind, SwarmError
from engine.journal.untrusted import read_regular
from engine.runs.folder import RunFolder, cannot_write, prepare_socket, remove_link
from engine.sandbox.process_identity import is_running, start_time

_PROBES = 10
_PROBE_S = 0.02
"""Seconds between two tries to lock: a process that lists runs holds a shared lock for some microseconds."""


class Owner(Struct, frozen=True):
    """The content of a lock file: who holds the lock. `started` identifies the process, because ids are reused."""

    pid: int
    run: str
    started: str = ""


class Held(Struct, frozen=True):
    """A lock that is held: on a file, and on its folder, because files can be deleted or replaced."""

    folder: int
    file: int

    def name_owner(self, run: str) -> None:
        """Write into the file who holds the lock."""
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, json.encode(Owner(os.getpid(), run, start_time(os.getpid()))), 0)

    def release(self) -> None:
        try:
            os.ftruncate(self.file, 0)
        except OSError:
            pass  # the content names a process that has ended
        finally:
            os.close(self.file)
            os.close(self.folder)


class RunLock:
    """The lock on a run and its repo, held until `release` or the end of the process."""

    def __init__(self, folder: RunFolder, held: list[Held]) -> None:
        self.folder = folder
        self._held = held

    @classmethod
    def acquire(cls, folder: RunFolder) -> "RunLock":
        """Raises SwarmError: busy if another process holds the lock of the run or the repo, state if locking fails."""
        repo_lock = take(folder.path.parent / "lock", folder.run)
        try:
            return cls.with_repo(folder, repo_lock)
        except BaseException:
            repo_lock.release()
            raise

    @classmethod
    def with_repo(cls, folder: RunFolder, repo_lock: Held) -> "RunLock":
        """Lock a run whose repo is already locked. If this raises, the caller has to release the repo's lock."""
        run_lock = take(folder.lock, folder.run)
        try:
            prepare_socket(folder)
        except BaseException:
            run_lock.release()
            raise
        return cls(folder, [repo_lock, run_lock])

    def release(self) -> None:
        with suppress(OSError):
            remove_link(self.folder)
        while self._held:
            self._held.pop().release()


def take(lock: Path, run: str) -> Held:
    """Lock a file and its folder. Raises SwarmError (busy, state).

    A lock file that names a living process is never taken: the folder may be a copy of one that is in use, or on a
    filesystem whose locks do nothing.
    """
    try:
        while True:
            held = _open(lock)
            try:
                _hold(held.folder, lock)
                _hold(held.file, lock)
                if _lives(owner_of(lock)):
                    raise _busy(lock)
                if _is_still(held.folder, lock.parent) and _is_still(held.file, lock):
                    held.name_owner(run)
                    return held
            except BaseException:
                _close(held)
                raise
            _close(held)
    except OSError as error:
        raise cannot_write(lock.parent, error) from error


def _open(lock: Path) -> Held:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    folder = os.open(lock.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Held(folder, os.open(lock, flags, 0o600))
    except BaseException:
        os.close(folder)
        raise


def _close(held: Held) -> None:
    os.close(held.file)
    os.close(held.folder)


def _hold(fd: int, lock: Path) -> None:
    for _ in range(_PROBES):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PROBE_S)
    raise _busy(lock)


def _is_still(fd: int, path: Path) -> bool:
    """Whether what is locked is still at its path: a failed start of a run removes its lock file and its folder."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _lives(owner: Owner | None) -> bool:
    """Whether a lock file names another process that is running. Of its own, a process knows better."""
    if owner is None or owner.pid <= 0 or owner.pid == os.getpid():
        return False
    return is_running(owner.pid, owner.started)


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
        return json.decode(read_regular(lock, 0, 4096), type=Owner)
    except (OSError, ValueError):
        return None


def is_live(folder: RunFolder) -> bool:
    """Whether a process runs the run."""
    return _is_held(folder.path) or _is_held(folder.lock) or _lives(owner_of(folder.lock))


def _is_held(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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

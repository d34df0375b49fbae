"""The state folder: where each run keeps its journal, trunk and copies, who owns it, and which runs there are."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct, json

from engine.errors import ErrorKind, SwarmError
from engine.journal.glance import Unreadable, glance
from engine.protocols import Clock, Randomness
from engine.types import Micros, RunId, RunState

SOCKET_LIMIT = 107
"""Bytes of a Unix socket's path that the system takes (108 with the final NUL)."""
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_STAMP = "%Y%m%d-%H%M%S"
_RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-z]{4}")
_PROBES = 10
_PROBE_S = 0.02
"""A listing holds a shared lock for some microseconds; whoever wants the lock itself asks again after this."""


class RunFolder(Struct, frozen=True):
    """The folder of one run and the names in it."""

    path: Path

    @property
    def run(self) -> RunId:
        return RunId(self.path.name)

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def trunk(self) -> Path:
        return self.path / "trunk.git"

    @property
    def workspaces(self) -> Path:
        return self.path / "workspaces"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def socket(self) -> Path:
        """Where the run's process listens: in this folder, or, where that path is too long for a socket, in
        `/tmp/swarm-tui-UID`, under a name made from this folder's path.

        Raises SwarmError (state) when that folder belongs to someone else.
        """
        usual = self.path / "swarm.sock"
        if len(os.fsencode(usual)) <= SOCKET_LIMIT:
            return usual
        return _short_folder() / (_hash(os.path.realpath(self.path)) + ".sock")

    def discard(self) -> None:
        """Remove a run that never began, so that nothing half made is left."""
        trash = self.path.with_name(f".discarded-{self.path.name}")
        try:
            self.path.rename(trash)
        except OSError:
            trash = self.path
        shutil.rmtree(trash, ignore_errors=True)
        if len(os.fsencode(self.path / "swarm.sock")) > SOCKET_LIMIT:
            self.socket.unlink(missing_ok=True)


class RunListing(Struct, frozen=True):
    """One line of the list of runs. `live`: a process owns it, `pid`. `usd` is None when a price is unknown.

    `problem` says why its journal cannot be read; then only `run`, `live` and `folder` mean anything.
    """

    run: RunId
    folder: RunFolder
    live: bool
    pid: int | None = None
    repo: str = ""
    state: RunState = RunState.RUNNING
    created: Micros = 0
    last_at: Micros = 0
    landed: int = 0
    failed: int = 0
    agents: int = 0
    usd: float | None = 0.0
    last_seq: int = 0
    exit_status: int | None = None
    intent: str = ""
    rehearsal: bool = False
    problem: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether there is something to go on with."""
        return not self.problem and self.state is not RunState.FINISHED

    @property
    def crashed(self) -> bool:
        """Whether its process died: nobody owns it, and it never said that it stopped."""
        return (
            not self.problem and not self.live and self.state in (RunState.RUNNING, RunState.PAUSING, RunState.PAUSED)
        )


class _Owner(Struct, frozen=True):
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
        repo_lock = _take(folder.path.parent / "lock", folder.run)
        try:
            return cls._acquire(folder, repo_lock)
        except BaseException:
            _release([repo_lock])
            raise

    @classmethod
    def _acquire(cls, folder: RunFolder, repo_lock: int) -> "RunLock":
        """The repo's lock stays the caller's to release when this raises."""
        held: list[int] = []
        try:
            held.append(_take(folder.lock, folder.run))
            _prepare_socket(folder)
        except BaseException:
            _release(held)
            raise
        return cls(folder, [repo_lock, *held])

    def release(self) -> None:
        _release(self._held)


def _release(held: list[int]) -> None:
    while held:
        fd = held.pop()
        try:
            os.ftruncate(fd, 0)
        except OSError:
            pass  # what it says is read only while it is held
        finally:
            os.close(fd)


# --- making a run --------------------------------------------------------------------------------------------


def repo_id(git_dir: Path) -> str:
    """A readable, unique name for a repo: its folder's name and a hash of where its (common) git folder really is."""
    real = Path(os.path.realpath(git_dir))
    name = real.parent.name if real.name == ".git" else real.name.removesuffix(".git")
    readable = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:32] or "repo"
    return f"{readable}-{_hash(str(real))[:8]}"


def new_run(root: Path, git_dir: Path, clock: Clock, randomness: Randomness) -> tuple[RunFolder, RunLock]:
    """Make a run's folder below the state folder `root` and own it. `git_dir` is the repo's common git folder.

    Raises SwarmError: busy when another process has the repo, state when the folder cannot be made; then nothing
    of it is left.
    """
    above = root / repo_id(git_dir)
    made = _make_folders(above)
    repo_lock = -1
    unfinished: Path | None = None
    try:
        repo_lock = _take(above / "lock", "")
        _sweep(above)
        name = _run_name(above, clock.now(), randomness)
        _name_owner(repo_lock, name)
        unfinished = above / f".new-{name}"
        unfinished.mkdir(mode=0o700)
        (unfinished / "workspaces").mkdir(mode=0o700)
        for file in ("lock", "log.txt"):
            (unfinished / file).touch(mode=0o600)
        _sync_folder(unfinished)
        folder = RunFolder(above / name)
        unfinished.rename(folder.path)
        unfinished = folder.path
        _sync_folder(above)
        return folder, RunLock._acquire(folder, repo_lock)
    except BaseException as error:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        if repo_lock >= 0:
            _remove_folders(made)
            _release([repo_lock])
        if isinstance(error, OSError):
            raise cannot_write(above, error) from error
        raise


def cannot_write(folder: Path, error: OSError) -> SwarmError:
    """What to say when the state folder cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SwarmError(
            ErrorKind.STATE,
            f"there is no space left for the state folder {folder}",
            "free some disk space, or name a folder on another disk with --state-dir",
        )
    return SwarmError(
        ErrorKind.STATE,
        f"the state folder {folder} cannot be written: {error.strerror or error}",
        "name a folder that can with --state-dir, or set XDG_STATE_HOME",
    )


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and what is above it; returns what was not there before, the topmost first."""
    missing = [folder, *folder.parents]
    try:
        missing = [each for each in missing if not each.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _remove_folders(missing[::-1])
        raise cannot_write(folder, error) from error
    return missing[::-1]


def _remove_folders(made: list[Path]) -> None:
    """Remove folders that were made in vain, unless something is in them by now. The caller holds the lock in them."""
    for folder in reversed(made):
        try:
            if [each.name for each in folder.iterdir()] == ["lock"]:
                (folder / "lock").unlink()
            folder.rmdir()
        except OSError:
            return


def _run_name(above: Path, now: Micros, randomness: Randomness) -> str:
    """`20261123-224100-7kq2`: sorts after every run of the repo before it, also when the clock went back."""
    stamp = datetime.fromtimestamp(now // 1_000_000, UTC)
    names = sorted(each.name for each in above.iterdir() if _RUN_NAME.fullmatch(each.name))
    if names:
        newest = datetime.strptime(names[-1][:15], _STAMP).replace(tzinfo=UTC)
        stamp = max(stamp, newest + timedelta(seconds=1))
    letters = "".join(_LETTERS[int(randomness.random() * len(_LETTERS))] for _ in range(4))
    return f"{stamp.strftime(_STAMP)}-{letters}"


def _sweep(above: Path) -> None:
    """What a start that was killed half way left."""
    for each in above.iterdir():
        if each.name.startswith((".new-", ".discarded-")):
            shutil.rmtree(each, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- locks ---------------------------------------------------------------------------------------------------


def _take(lock: Path, run: str) -> int:
    """A file descriptor that holds the lock. Raises SwarmError (busy, state)."""
    try:
        while True:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _hold(fd, lock)
                if _is_still(fd, lock):
                    _name_owner(fd, run)
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


def _name_owner(fd: int, run: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.encode(_Owner(os.getpid(), run)), 0)


def _busy(lock: Path) -> SwarmError:
    owner = _owner(lock)
    who = f"process {owner.pid}" if owner else "another process"
    run = (owner and owner.run) or "RUN"
    return SwarmError(
        ErrorKind.BUSY,
        f"{who} already runs a swarm on this repo",
        f"look at it with `swarm-tui attach {run}`, or stop it",
    )


def _owner(lock: Path) -> _Owner | None:
    try:
        return json.decode(lock.read_bytes(), type=_Owner)
    except (OSError, ValueError):  # not written yet
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


# --- sockets with long paths ---------------------------------------------------------------------------------


def _short_folder() -> Path:
    folder = Path(f"/tmp/swarm-tui-{os.getuid()}")  # noqa: S108 - its owner and mode are checked before each use
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return folder
    if found.st_uid != os.getuid() or found.st_mode & 0o170077 != 0o040000:
        raise SwarmError(
            ErrorKind.STATE,
            f"{folder}, where the socket of a run with a long path belongs, is not yours alone",
            "name a shorter state folder with --state-dir",
        )
    return folder


def _prepare_socket(folder: RunFolder) -> None:
    """Make the folder of a socket that cannot be in the run's own, and leave a link to it there."""
    socket, link = folder.socket, folder.path / "swarm.sock"
    if socket == link:
        return
    try:
        socket.parent.mkdir(mode=0o700, exist_ok=True)
        _short_folder()
        if not link.is_symlink():
            link.symlink_to(socket)
    except OSError as error:
        raise cannot_write(socket.parent, error) from error


def _hash(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=10).hexdigest()


# --- finding runs --------------------------------------------------------------------------------------------


def list_runs(root: Path, git_dir: Path | None = None) -> list[RunListing]:
    """The runs below a state folder, or those of one repo, newest first. Raises SwarmError (state)."""
    try:
        repos = [root / repo_id(git_dir)] if git_dir else [each for each in root.iterdir() if each.is_dir()]
        paths = [path for repo in repos if repo.is_dir() for path in repo.iterdir() if _RUN_NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SwarmError(
            ErrorKind.STATE,
            f"the state folder {root} cannot be read: {error.strerror}",
            "check its permissions, or name another with --state-dir",
        ) from error
    listed = (_list(RunFolder(path)) for path in sorted(paths, key=lambda path: path.name, reverse=True))
    return [each for each in listed if each is not None]


def find_run(root: Path, text: str, git_dir: Path | None = None) -> RunListing:
    """The run with an id, or whose id alone begins or ends with `text`. Raises SwarmError (not_found)."""
    runs = list_runs(root, git_dir)
    for found in (
        [run for run in runs if run.run == text],
        [run for run in runs if text and run.run.startswith(text)],
        [run for run in runs if text and run.run.endswith(text)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(run.run for run in found[:5])
            raise SwarmError(ErrorKind.NOT_FOUND, f"more than one run is called '{text}'", f"name one whole: {some}")
    raise SwarmError(ErrorKind.NOT_FOUND, f"there is no run '{text}'", "see `swarm-tui runs` for the runs")


def newest_unfinished(root: Path, git_dir: Path | None = None) -> RunListing | None:
    """The newest run that has not finished, live or not."""
    return next((run for run in list_runs(root, git_dir) if run.unfinished), None)


def _list(folder: RunFolder) -> RunListing | None:
    """None for a run that never began."""
    live = is_live(folder)
    owner = _owner(folder.lock) if live else None
    pid = owner.pid if owner else None
    try:
        row = glance(folder.journal)
    except Unreadable as error:
        return RunListing(folder.run, folder, live, pid, problem=str(error))
    if row is None:
        return None
    return RunListing(
        run=folder.run,
        folder=folder,
        live=live,
        pid=pid,
        repo=row.repo,
        state=row.state,
        created=row.created,
        last_at=row.last_at,
        landed=row.landed,
        failed=row.failed,
        agents=row.agents,
        usd=row.usd,
        last_seq=row.last_seq,
        exit_status=row.exit_status,
        intent=row.intent,
        rehearsal=any(model.startswith("rehearsal:") for model in row.models.values()),
    )

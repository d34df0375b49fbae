"""Creates a run's folder, completely or not at all."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.domain.types import Micros
from engine.ports.protocols import Clock, Randomness
from engine.runs.folder import RUN_NAME, RunFolder, cannot_write, repo_id
from engine.runs.lock import Held, RunLock, take

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_STAMP = "%Y%m%d-%H%M%S"


def new_run(root: Path, git_dir: Path, clock: Clock, randomness: Randomness) -> tuple[RunFolder, RunLock]:
    """Create a run's folder below the state folder `root`, and lock it. `git_dir` is the repo's common git folder.

    Raises SwarmError: busy if another process runs a swarm on the repo, state if the folder cannot be created. Nothing
    of it is left then.
    """
    above = root / repo_id(git_dir)
    made = _make_folders(above)
    repo_lock: Held | None = None
    unfinished: Path | None = None
    try:
        repo_lock = take(above / "lock", "")
        _sweep(above)
        name = _run_name(above, clock.now(), randomness)
        repo_lock.name_owner(name)
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
        return folder, RunLock.with_repo(folder, repo_lock)
    except BaseException as error:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        if repo_lock is not None:
            _remove_folders(made)
            repo_lock.release()
        if isinstance(error, OSError):
            raise cannot_write(above, error) from error
        raise


def _make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; returns those that did not exist before, the topmost first."""
    missing = [folder, *folder.parents]
    try:
        missing = [each for each in missing if not each.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _remove_folders(missing[::-1])
        raise cannot_write(folder, error) from error
    return missing[::-1]


def _remove_folders(made: list[Path]) -> None:
    """Remove folders that are not needed after all, unless they contain more than the lock, which the caller holds."""
    for folder in reversed(made):
        try:
            if [each.name for each in folder.iterdir()] == ["lock"]:
                (folder / "lock").unlink()
            folder.rmdir()
        except OSError:
            return


def _run_name(above: Path, now: Micros, randomness: Randomness) -> str:
    """A name such as `20261123-224100-7kq2`, which sorts after all earlier runs even if the clock went back."""
    stamp = datetime.fromtimestamp(now // 1_000_000, UTC)
    names = sorted(each.name for each in above.iterdir() if RUN_NAME.fullmatch(each.name))
    if names:
        newest = datetime.strptime(names[-1][:15], _STAMP).replace(tzinfo=UTC)
        stamp = max(stamp, newest + timedelta(seconds=1))
    letters = "".join(_LETTERS[int(randomness.random() * len(_LETTERS))] for _ in range(4))
    return f"{stamp.strftime(_STAMP)}-{letters}"


def _sweep(above: Path) -> None:
    """Remove what a process left that was killed while it created a run."""
    for each in above.iterdir():
        if each.name.startswith((".new-", ".discarded-")):
            shutil.rmtree(each, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""A run has one owner, whatever happens to its folder and its lock files meanwhile; a dead owner keeps nothing."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.runs.folder import RunFolder, repo_id
from engine.runs.lock import RunLock, is_live
from tests.engine.runs.owners import hear, make, process, say


class Owning:
    """Another process that owns a run."""

    def __init__(self, root: Path, git_dir: Path) -> None:
        self.git_dir = git_dir
        self.process: subprocess.Popen[str] = process(root, git_dir)
        say(self.process)
        self.folder = RunFolder(root / repo_id(git_dir) / hear(self.process).removeprefix("owns "))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def owning(tmp_path: Path, git_dir: Path) -> Iterator[Owning]:
    owner = Owning(tmp_path / "state", git_dir)
    yield owner
    owner.kill()


def refused(own: Callable[[], object], owner: Owning) -> None:
    with pytest.raises(SwarmError) as raised:
        own()
    assert raised.value.kind is ErrorKind.BUSY
    assert f"process {owner.process.pid}" in raised.value.message


def delete(lock: Path) -> None:
    lock.unlink()


def replace(lock: Path) -> None:
    lock.with_name("other").write_bytes(b"")
    lock.with_name("other").rename(lock)


def empty(lock: Path) -> None:
    lock.write_bytes(b"")


def garble(lock: Path) -> None:
    lock.write_bytes(b"\xff{")


@pytest.mark.parametrize("locks", [("run",), ("repo",), ("run", "repo")])
@pytest.mark.parametrize("harm", [delete, replace, empty, garble])
def test_a_run_keeps_its_owner_when_lock_files_are_changed(
    owning: Owning, locks: tuple[str, ...], harm: Callable[[Path], None]
) -> None:
    for lock in locks:
        harm(owning.folder.lock if lock == "run" else owning.folder.path.parent / "lock")
    for own in (
        lambda: RunLock.acquire(owning.folder),
        lambda: make(owning.folder.path.parents[1], owning.git_dir),
    ):
        with pytest.raises(SwarmError) as raised:
            own()
        assert raised.value.kind is ErrorKind.BUSY
    assert is_live(owning.folder)
    owning.kill()
    assert not is_live(owning.folder)
    RunLock.acquire(owning.folder).release()


def test_a_moved_state_folder_keeps_its_owner(owning: Owning, tmp_path: Path) -> None:
    moved = (tmp_path / "state").rename(tmp_path / "moved")
    folder = RunFolder(moved / owning.folder.path.relative_to(tmp_path / "state"))
    refused(lambda: RunLock.acquire(folder), owning)
    assert is_live(folder)
    owning.kill()
    RunLock.acquire(folder).release()


def test_a_copy_of_a_state_folder_cannot_be_run_beside_the_original(owning: Owning, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(tmp_path / "state", tmp_path / "copied", symlinks=True))
    folder = RunFolder(copied / owning.folder.path.relative_to(tmp_path / "state"))
    refused(lambda: RunLock.acquire(folder), owning)
    assert is_live(folder)
    owning.kill()
    RunLock.acquire(folder).release()


def test_a_filesystem_whose_locks_do_nothing_does_not_give_a_run_two_owners(
    owning: Owning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)
    refused(lambda: RunLock.acquire(owning.folder), owning)
    refused(lambda: make(owning.folder.path.parents[1], owning.git_dir), owning)
    assert is_live(owning.folder)
    owning.kill()
    assert not is_live(owning.folder)
    RunLock.acquire(owning.folder).release()


def test_a_filesystem_without_locks_is_an_error_that_says_so(
    tmp_path: Path, git_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(SwarmError, match="No locks available") as raised:
        make(tmp_path / "state", git_dir)
    assert raised.value.kind is ErrorKind.STATE
    assert "--state-dir" in raised.value.hint


def test_a_killed_process_that_nobody_has_waited_for_owns_nothing(owning: Owning) -> None:
    owning.process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, owning.process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_live(owning.folder)
    RunLock.acquire(owning.folder).release()


def test_a_suspended_process_keeps_its_run(owning: Owning) -> None:
    owning.process.send_signal(signal.SIGSTOP)
    refused(lambda: RunLock.acquire(owning.folder), owning)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff{",
        b'{"pid": 1',
        b'{"pid":%d,"run":"a-run","started":"1"}' % os.getppid(),
        b'{"pid": 1, "run": "a-run"}',
        b'{"pid":%d,"run":"a-run","started":"1"}' % 2**40,
        b'{"pid":%d,"run":"a-run","started":""}' % -1,
    ],
    ids=["empty", "garbage", "torn", "id-reused", "older-version", "no-such-process", "no-id"],
)
def test_what_a_killed_process_left_in_its_lock_files_is_taken_over(owning: Owning, content: bytes) -> None:
    owning.kill()
    for lock in (owning.folder.lock, owning.folder.path.parent / "lock"):
        lock.write_bytes(content)
    assert not is_live(owning.folder)
    RunLock.acquire(owning.folder).release()
    make(owning.folder.path.parents[1], owning.git_dir)[1].release()

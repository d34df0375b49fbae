"""A state folder that is full or not writable: a clear error, no damage, and the run can be resumed."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.programs import LOAD, Case, until

SIZE = 8 << 30
"""Bytes of the disk with space: with little free space no work starts. Only written bytes take memory."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system whose size can be changed."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resized(folder: Path, left: int | None) -> None:
    """Give a file system so many free bytes, or its full size again."""
    for _ in range(100):
        disk = os.statvfs(folder)
        size = SIZE if left is None else (disk.f_blocks - disk.f_bfree) * disk.f_frsize + max(left, 4096)
        done = subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], capture_output=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(
        f"it grew each time: {done.stderr.decode()}"
    )  # a file system cannot be smaller than its content


@pytest.mark.parametrize("left", [0, 256 << 10])
def test_a_full_disk_is_reported_and_the_run_can_be_resumed_once_there_is_space(
    tmp_path: Path, small_disk: Path, left: int
) -> None:
    case = Case(tmp_path, "load", LOAD, state=small_disk / "state")
    process = case.started()
    until(process, "landing_finished", 2)
    resized(small_disk, left)
    process.communicate()
    assert process.returncode in (1, 2), case.said[-2000:]
    case.none_survive()
    last = case.said.splitlines()
    assert last[-2].startswith("error: "), case.said[-2000:]
    assert last[-1].startswith("hint: "), case.said[-2000:]
    assert "Traceback" not in case.said
    assert "unexpected" not in last[-2]
    resized(small_disk, None)
    assert case.run.unfinished
    assert case.to_its_end() == 0, case.said[-3000:]
    case.examine()


def test_a_run_that_cannot_start_on_a_full_disk_leaves_nothing_behind(tmp_path: Path, small_disk: Path) -> None:
    case = Case(tmp_path, "load", LOAD, state=small_disk / "state")
    resized(small_disk, 0)
    process = case.started()
    process.communicate()
    assert process.returncode == 2
    last = case.said.splitlines()
    assert last[-2].startswith("error: "), case.said
    assert "Traceback" not in case.said
    assert case.runs() == []
    resized(small_disk, None)
    assert case.to_its_end() == 0, case.said[-2000:]
    case.examine()


def test_a_journal_without_write_permission_is_a_clear_error(tmp_path: Path, small_disk: Path) -> None:
    case = Case(tmp_path, "load", LOAD, state=small_disk / "state")
    process = case.started()
    until(process, "landing_finished", 2)
    process.kill()
    process.communicate()
    case.none_survive()
    read_only = ["mount", "-o", "remount,ro", str(small_disk)]
    for _ in range(100):  # the kernel takes a sandbox's mounts away a moment after its last process has ended
        if subprocess.run(read_only, capture_output=True).returncode == 0:
            break
        time.sleep(0.1)
    else:
        subprocess.run(read_only, check=True)
    words = ("resume", case.run.run)
    refused = case.started(*words)
    refused.communicate()
    assert refused.returncode == 2, case.said[-2000:]
    last = case.said.splitlines()
    assert last[-2].startswith("error: "), case.said[-2000:]
    assert "Traceback" not in case.said
    assert "unexpected" not in last[-2]
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert case.to_its_end() == 0, case.said[-2000:]
    case.examine()

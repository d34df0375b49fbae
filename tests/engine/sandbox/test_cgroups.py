"""Control groups: limits on all commands together, and sweeping of groups whose owners are gone, but never of groups
whose owner has its process id in another namespace."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.sandbox.cgroups import ControlGroups, Ungoverned

OWNER = (
    sys.executable,
    "-c",
    "import sys; from engine.sandbox.cgroups import ControlGroups; groups = ControlGroups.open(1 << 30, 1000); "
    "print(*groups._folders, flush=True); sys.stdin.read()",
)


def opened() -> ControlGroups:
    try:
        return ControlGroups.open(1 << 30, 1000, 1.5)
    except Ungoverned as error:
        pytest.skip(str(error))


def owner(*within: str) -> tuple["subprocess.Popen[str]", list[Path]]:
    """A process that has created its groups, and their folders."""
    process = subprocess.Popen([*within, *OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, [Path(name) for name in process.stdout.readline().split()]


def test_only_groups_of_processes_that_are_gone_are_swept() -> None:
    opened().close()
    dead, left = owner()
    alive, kept = owner()
    elsewhere, apart = owner("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    dead.kill()
    dead.communicate()
    opened().close()
    assert not any(folder.exists() for folder in left)
    assert all(folder.is_dir() for folder in kept)
    assert all(folder.is_dir() for folder in apart), "its owner is process 1 there, and another one here"
    for process, folders in ((alive, kept), (elsewhere, apart)):
        process.kill()
        process.communicate()
        for folder in folders:
            for inner in (folder / "commands", folder / "launchers", folder):
                inner.rmdir()


def held(groups: ControlGroups, place: str, *names: str) -> list[str]:
    """The content of the first file with one of these names, in each hierarchy that has one."""
    found = [
        next((each for name in names if (each := folder / place / name).exists()), None) for folder in groups._folders
    ]
    return [" ".join(file.read_text().split()) for file in found if file is not None]


def test_all_commands_together_stay_within_their_limits_and_yield_to_other_programs() -> None:
    groups = opened()
    try:
        assert held(groups, "", "memory.max", "memory.limit_in_bytes") == [str(1 << 30)]
        [most] = held(groups, "commands", "pids.max")
        assert 1000 < int(most) < 1250
        if groups.weighed:
            others, weight = (
                (100, "cpu.weight") if Path("/sys/fs/cgroup/cgroup.controllers").exists() else (1024, "cpu.shares")
            )
            for place in ("", "commands"):
                assert [int(each) * 100 // others for each in held(groups, place, weight)] in ([19], [20])
            assert held(groups, "commands", "cpu.max", "cpu.cfs_quota_us") in (["150000 100000"], ["150000"])
            assert held(groups, "launchers", weight) == [str(others)]
            groups.make(1 << 20, 10)
            groups.make(1 << 20, 10, preferred=True)
            assert held(groups, "commands/1", weight) == [str(others)]
            assert held(groups, "commands/2", weight) == [str(4 * others)], "the check's"
    finally:
        groups.close()
    assert not any(folder.exists() for folder in groups._folders)

"""Whose control groups are swept: those of owners that are gone, never those of one that another namespace counts."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.sandbox.groups import ControlGroups, Ungoverned

OWNER = (
    sys.executable,
    "-c",
    "import sys; from engine.sandbox.groups import ControlGroups; groups = ControlGroups.open(1 << 30); "
    "print(*groups._folders, flush=True); sys.stdin.read()",
)


def opened() -> ControlGroups:
    try:
        return ControlGroups.open(1 << 30)
    except Ungoverned as error:
        pytest.skip(str(error))


def owner(*within: str) -> tuple["subprocess.Popen[str]", list[Path]]:
    """A process that has made its groups, and their folders."""
    process = subprocess.Popen([*within, *OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, [Path(name) for name in process.stdout.readline().split()]


def test_groups_of_the_dead_are_swept_and_those_of_the_living_are_not() -> None:
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
            for inner in (*(entry for entry in folder.iterdir() if entry.is_dir()), folder):
                inner.rmdir()

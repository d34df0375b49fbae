"""A copy's disk budget finds what its commands took, even if other programs change the disk at the same time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.sandbox.disk import DiskBudget, DiskWatch, OverLimit
from engine.sandbox.shared_limits import SharedLimit
from engine.sandbox.unseen import Account

MIB = 1 << 20
LIMIT = 4 * MIB


class Sandbox:
    """One without processes. `written` is what its last command wrote."""

    written: int | None = 0

    async def freeze(self, why: str) -> None: ...

    async def thaw(self, why: str) -> None: ...

    def end_command(self, why: str) -> None: ...

    def command_pids(self) -> list[int]:
        return []


class Disk(DiskWatch):
    """A disk whose free space never falls: other programs free as much as commands take."""

    account: Account | None = None

    def taken(self) -> int:
        return 0

    def open(self, budget: DiskBudget, account: Account) -> None:
        super().open(budget, account)
        self.account = account


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, LIMIT, SharedLimit("disk", 1 << 40))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def _write(file: Path, size: int) -> None:
    file.write_bytes(b"x" * size)


@asynccontextmanager
async def command(budget: DiskBudget, sandbox: Sandbox, file: Path, size: int) -> AsyncIterator[None]:
    async with budget.guard(sandbox, "/ws"):
        _write(file, size)
        sandbox.written = size
        yield


async def test_what_commands_wrote_counts_while_other_programs_free_space(disk: Disk, copy: Path) -> None:
    budget, sandbox = DiskBudget((copy,), disk, empty=True), Sandbox()
    for number in range(2):
        async with command(budget, sandbox, copy / str(number), 3 * MIB):
            pass
    with pytest.raises(OverLimit, match="grew by 6 MiB, 4 are allowed"):
        async with command(budget, sandbox, copy / "third", MIB):
            pass
    async with command(budget, sandbox, copy / "0", 0):
        pass


@pytest.mark.parametrize("size", [3 * MIB, None])
async def test_a_command_that_did_not_say_what_it_wrote_is_measured(disk: Disk, copy: Path, size: int | None) -> None:
    budget, sandbox = DiskBudget((copy,), disk, empty=True), Sandbox()
    async with command(budget, sandbox, copy / "big", 5 * MIB):
        sandbox.written = size
    if size is None:
        with pytest.raises(OverLimit):
            await budget.guard(sandbox, "/ws").__aenter__()
    else:
        async with budget.guard(sandbox, "/ws"):
            pass


async def test_after_a_command_that_was_ended_for_what_it_hid_the_next_one_runs(disk: Disk, copy: Path) -> None:
    """It was told already that the copy is too large."""
    budget, sandbox = DiskBudget((copy,), disk, empty=True), Sandbox()
    async with command(budget, sandbox, copy / "big", 9 * MIB):
        assert disk.account is not None
        disk.account.ended = True
    async with command(budget, sandbox, copy / "big", 0):
        pass

"""Measures agents' copies on disk, and ends the command that makes one grow beyond its limit.

The free space of the disk is looked at every second. What it has fallen is the most that any copy can have grown. A
command that may be over its limit is suspended, so that the measurement is complete, and then continued or ended.
"""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from engine.ports.protocols import WorkspaceError, WorkspaceLost
from engine.sandbox.inside.holdings import BLOCK, EACH, Holdings, living
from engine.sandbox.shared_limits import SharedLimit
from engine.sandbox.unseen import Account, Suspendable, Unseen

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
LEAST_SHARE = 32
"""While less than this part of a limit was taken from the whole disk, another measurement cannot find more."""
NEAR_SHARE = 128
"""A copy that is close to its limit is measured again after this part of it."""
PATIENCE = 20
"""The pause between measurements of a command that is not suspended, as a multiple of the last one's duration."""
AT_LEAST_S = 30.0
"""The pause between measurements even if the free space has not fallen: something else may have freed as much."""
AT_A_TIME = 2
"""Copies that are measured at a time."""
MEASURED = "measured"
"""Why a command is suspended."""
CHANCES = 3
"""So many commands in a row may be ended for the disk before the copy is given up."""


class OverLimit(Exception):  # noqa: N818 - a state of the workspace, told to its agent
    """Why a command is not run: what the commands before have written is too much."""


class Size(Struct, frozen=True):
    """`size`: bytes, at least `EACH` for each of the `entries`; `blocks`: bytes of the disk's blocks."""

    size: int = 0
    blocks: int = 0
    entries: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.size + other.size, self.blocks + other.blocks, self.entries + other.entries)

    @property
    def weight(self) -> int:
        """As free space counts: blocks and entries are both limited."""
        return self.blocks + EACH * self.entries


def disk_used(folder: Path) -> int:
    """Bytes on disk below a folder that may change meanwhile. Links are not followed; unreadable parts count 0.

    A folder whose mode forbids reading gets one that allows it: it could hide anything. The walk descends by
    descriptors and returns by `..`, so no depth is too deep; it stops where a folder was moved meanwhile.
    """
    return measure(folder, set()).size


def measure(folder: Path, linked: set[tuple[int, int]]) -> Size:
    """The same in detail. `linked`: files with several names that count already."""
    total = Size()
    try:
        here = os.open(folder, FOLDER)
    except OSError:
        return total
    above: list[tuple[tuple[int, int], list[str]]] = []
    try:
        used, waiting = _look(here, linked)
        total += used
        while True:
            if waiting:
                try:
                    inner = _opened(waiting.pop(), here)
                except OSError:
                    continue
                above.append((_identity(here), waiting))
                os.close(here)
                here = inner
                used, waiting = _look(here, linked)
                total += used
            elif above:
                identity, waiting = above.pop()
                outer = os.open("..", FOLDER, dir_fd=here)
                os.close(here)
                here = outer
                if _identity(here) != identity:
                    return total
            else:
                return total
    except OSError:
        return total
    finally:
        os.close(here)


def _opened(name: str, folder: int) -> int:
    """Open an inner folder. Raises OSError."""
    place = os.open(name, os.O_PATH | FOLDER, dir_fd=folder)
    try:
        itself = f"/proc/self/fd/{place}"  # by descriptor, as the name may lead elsewhere by now
        mode = stat.S_IMODE(os.fstat(place).st_mode)
        if mode & 0o500 != 0o500:
            os.chmod(itself, mode | 0o500)
        return os.open(itself, FOLDER & ~os.O_NOFOLLOW)
    finally:
        os.close(place)


def _look(folder: int, linked: set[tuple[int, int]]) -> tuple[Size, list[str]]:
    """The size of a folder's entries, and which of them are folders."""
    size = blocks = entries = 0
    folders = []
    with os.scandir(folder) as found:
        for entry in found:
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                folders.append(entry.name)
            elif info.st_nlink > 1:
                if (info.st_dev, info.st_ino) in linked:
                    continue
                linked.add((info.st_dev, info.st_ino))
            used = info.st_blocks * BLOCK
            size += max(used, EACH)
            blocks += used
            entries += 1
    return Size(size, blocks, entries), folders


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


class Measured(Suspendable, Protocol):
    """A sandbox whose command's processes can be examined."""

    written: int | None
    """Bytes that the last command wrote; None if that is unknown."""

    def command_pids(self) -> list[int]: ...


class DiskWatch:
    """Watches the disk of `folder` for all copies of a run. Each copy may grow by `limit`, all together by `shared`."""

    def __init__(self, folder: Path, limit: int, shared: SharedLimit) -> None:
        self.limit = limit
        self.shared = shared
        self.fell = 0
        """Bytes by which the free space has fallen, all falls added up."""
        self._folder = folder
        self._taken = 0
        self._taken = self.taken()
        self._budgets: set[DiskBudget] = set()
        self._at_a_time = asyncio.Semaphore(AT_A_TIME)
        self._measuring: set[asyncio.Task[None]] = set()
        self.unseen = Unseen(shared, self.taken, self._look)

    def taken(self) -> int:
        """Less the free space of the disk: the more is used the higher; only differences mean something."""
        try:
            info = os.statvfs(self._folder)
        except OSError:  # the run's folder is being removed
            return self._taken
        taken = -(info.f_bavail * info.f_frsize + info.f_favail * EACH)
        self.fell += max(0, taken - self._taken)
        self._taken = taken
        return taken

    def open(self, budget: "DiskBudget", account: Account) -> None:
        self._budgets.add(budget)
        self.unseen.open(account, budget)

    def close(self, budget: "DiskBudget", account: Account) -> None:
        self._budgets.discard(budget)
        self.unseen.close(account, budget)

    def _look(self) -> None:
        self.taken()
        for budget in self._budgets:
            if not budget.measuring and (frozen := budget.due()) is not None:
                budget.measuring = True
                task = asyncio.create_task(self._measure(budget, frozen=frozen))
                self._measuring.add(task)
                task.add_done_callback(self._measuring.discard)

    async def _measure(self, budget: "DiskBudget", *, frozen: bool) -> None:
        try:
            if frozen:
                await budget.measure_frozen(self._at_a_time)
            else:
                async with self._at_a_time:
                    await budget.measure()
        except WorkspaceLost:
            pass  # the command itself reports it
        finally:
            budget.measuring = False


class DiskBudget:
    """How much a copy may grow in all its `folders`. `empty`: whether they have nearly nothing at the start."""

    def __init__(self, folders: tuple[Path, ...], watch: DiskWatch, *, empty: bool) -> None:
        self.measuring = False
        self._folders = folders
        self._watch = watch
        self._limit = watch.limit
        self._start = Size() if empty else None
        self._grown = 0
        self._weight = 0
        self._sandbox: Measured | None = None
        self._places: tuple[str, ...] = ()
        self._account: Account | None = None
        self._certain = 0
        """How much it had when it was last measured while nothing could change it; `_grown` is the last result."""
        self._fell_then = self._fell = watch.fell
        """How far the disk's free space had fallen at these two measurements."""
        self._written = 0
        """Bytes that commands have written since then. Free space does not show them while other programs free some."""
        self._looked = self._next = 0.0
        self._rested = 0.0
        """Until then the command is not suspended again, so that it gets half of the time, unless much was taken."""
        self._ended = False
        self._allowed = watch.limit
        self._chances = CHANCES

    @asynccontextmanager
    async def guard(self, sandbox: Measured, *places: str) -> AsyncIterator[None]:
        """End the command that runs meanwhile if the copy, which it sees at `places`, grows beyond its limit.

        A copy that is already over its limit may shrink: only further growth is ended. Raises OverLimit once if
        it is found to be over its limit before the command, and WorkspaceLost if several commands in a row have made it
        grow nevertheless.
        """
        if self._start is None:  # what exists before the first command does not count
            self._start = await asyncio.to_thread(self._used)
        self._watch.taken()
        if max(self._watch.fell - self._fell_then, self._written) > self._limit - self._certain:
            await self._settle(certain=True)
        if self._grown > self._allowed:  # the last command ended before it was found
            self._allow_to_shrink()
            grown, limit = self._grown >> 20, self._limit >> 20
            raise OverLimit(f"not run: the workspace grew by {grown} MiB, {limit} are allowed; remove something")
        if self._chances <= 0:
            raise WorkspaceLost(f"the workspace is given up: {CHANCES} commands took more disk space than allowed")
        self._sandbox, self._places, self._ended = sandbox, places, False
        account = Account(sandbox, self._allowed, self._measure_suspended, self._grown, self._weight)
        self._account = account
        self._watch.open(self, account)
        self._watch.shared.hold(self, self._grown, self._end)
        try:
            yield
        finally:
            self._account = None
            self._ended = self._ended or account.ended
            self._written += self._limit + 1 if sandbox.written is None else sandbox.written
            self._watch.close(self, account)
            await self._settle()

    async def admit(self, size: int) -> None:
        """Count a file that is written for the agent. Raises WorkspaceError where it has no room."""
        if self._account is None and self._grown + size > self._limit:
            await self._settle(certain=True)
            if self._grown > self._allowed:  # the agent is told by this error, so the command that removes runs
                self._allow_to_shrink()
        if self._grown + size > self._limit:
            raise WorkspaceError(f"the workspace may not grow by more than {self._limit >> 20} MiB: remove something")
        self._grown += size
        self._watch.shared.hold(self, self._grown, self._end if self._account is not None else None)

    def forget(self) -> None:
        """The copy is removed: it counts no longer."""
        self._watch.shared.forget(self)
        self._watch.unseen.leave(self)

    def due(self) -> bool | None:
        """Whether to measure now: True with the command suspended, None not at all."""
        account, now = self._account, time.monotonic()
        if account is None or self._ended:
            return None
        fell, shared = self._watch.fell, self._watch.shared
        room = min(account.allowed, shared.limit - shared.total + account.known) - self._certain
        smallest = min(self._limit, shared.limit)
        since = fell - self._fell_then
        if since > max(room, smallest // NEAR_SHARE) and (now >= self._rested or since > smallest):
            return True
        if now < self._next:
            return None
        return False if fell - self._fell > smallest // LEAST_SHARE or now - self._looked > AT_LEAST_S else None

    async def measure_frozen(self, at_a_time: asyncio.Semaphore) -> None:
        """Measure while the command can change nothing."""
        sandbox = self._sandbox
        assert sandbox is not None
        await sandbox.freeze(MEASURED)
        try:
            async with at_a_time:
                await self.measure(certain=True)
        finally:
            await sandbox.thaw(MEASURED)

    async def measure(self, *, certain: bool = False) -> None:
        """Measure; end the command if the copy has grown beyond its limit, or all copies together have.

        `certain`: the command is suspended, so that it cannot move files out of the way.
        """
        account, sandbox = self._account, self._sandbox
        if account is None or sandbox is None:
            return
        self._watch.taken()
        fell, before, began = self._watch.fell, account.known, time.monotonic()
        used, held = await asyncio.to_thread(lambda: (self._used(), self._held(sandbox)))
        if self._account is not account:
            return
        self._looked = time.monotonic()
        self._next = self._looked + PATIENCE * (self._looked - began)
        self._rested = self._looked + (self._looked - began)
        self._take(used, fell)
        known = self._grown + held.size
        if certain:
            self._certain, self._fell_then = known, fell
        self._watch.unseen.note(account, known, self._weight + held.size + EACH * held.files, opaque=held.opaque)
        if known > account.allowed:
            self._end(self._watch.shared.name)
        elif not self._ended:
            tell = self._watch.shared.note if known > before else self._watch.shared.hold
            tell(self, known, self._end)

    async def _measure_suspended(self) -> None:
        await self.measure(certain=True)

    def _end(self, why: str) -> None:
        self._ended = True
        if self._sandbox is not None:
            self._sandbox.end_command(why)

    async def _settle(self, *, certain: bool = False) -> None:
        """Measure after a command: what it wrote is accepted; only further growth counts."""
        if self._ended or certain:
            self._watch.taken()
            fell = self._watch.fell
            self._take(await asyncio.to_thread(self._used), fell)
            self._certain, self._fell_then, self._written = self._grown, fell, 0
        if self._grown <= self._limit:
            self._allowed, self._chances = self._limit, CHANCES
        elif self._ended:
            self._allow_to_shrink()
        self._watch.shared.hold(self, self._grown)
        self._watch.unseen.explain(self, self._weight)

    def _allow_to_shrink(self) -> None:
        self._allowed = max(self._limit, self._grown)
        self._chances -= 1
        self._ended = False

    def _take(self, used: Size, fell: int) -> None:
        self._fell = fell
        start = self._start or Size()
        self._grown, self._weight = used.size - start.size, used.weight - start.weight

    def _used(self) -> Size:
        linked: set[tuple[int, int]] = set()
        return sum((measure(folder, linked) for folder in self._folders), Size())

    def _held(self, sandbox: Measured) -> Holdings:
        """Deleted files that the command's processes hold: a walk cannot find them."""
        pids = sandbox.command_pids()
        devices = set()
        inside = (Path(f"{living(pid)}/root{place}") for pid in pids for place in self._places)
        for place in (*self._folders[:1], *inside):
            with suppress(OSError):
                devices.add(place.stat().st_dev)
        return Holdings(pids, devices)

"""Measures an agent's copy on disk, and ends the command that makes it grow beyond its budget."""

import asyncio
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from engine.sandbox.inside.jobs import others
from engine.sandbox.shared_limits import End, SharedLimit

BLOCK = 512
EACH = 4096
"""The least that a file or folder counts: inodes are limited, and empty files take no blocks."""
MOST_OPEN = 100_000
"""The most open files examined in one search for deleted ones."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
LOOK_S = 1.0
LEAST_SHARE = 1 / 32
"""A share of the budget: while less of the whole disk was filled since the last walk, another walk cannot find more."""
PATIENCE = 20
"""The pause between walks, as a multiple of the last walk's duration."""


def disk_used(folder: Path) -> int:
    """Bytes on disk below a folder that may change meanwhile. Links are not followed; unreadable parts count 0.

    A folder whose mode forbids reading gets one that allows it: it could hide anything. The walk descends by
    descriptors and returns by `..`, so no depth is too deep; it stops where a folder was moved meanwhile.
    """
    total = 0
    try:
        here = os.open(folder, FOLDER)
    except OSError:
        return 0
    above: list[tuple[tuple[int, int], list[str]]] = []
    try:
        used, waiting = _look(here)
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
                used, waiting = _look(here)
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


def removed_bytes(pid: int, root: str) -> int:
    """Bytes, on the disk of `root`, of deleted files that processes below `pid` hold open: a walk cannot find them."""
    sizes: dict[tuple[int, int], int] = {}
    left = MOST_OPEN
    for each in others(pid):
        with suppress(OSError):
            disk = os.stat(f"/proc/{each}/root{root}").st_dev
            for name in os.listdir(f"/proc/{each}/fd")[:left]:
                left -= 1
                with suppress(OSError):
                    info = os.stat(f"/proc/{each}/fd/{name}")
                    if not info.st_nlink and info.st_dev == disk and stat.S_ISREG(info.st_mode):
                        sizes[info.st_dev, info.st_ino] = info.st_blocks * BLOCK
    return sum(sizes.values())


def _look(folder: int) -> tuple[int, list[str]]:
    """The size of a folder's entries, and which of them are folders."""
    total = 0
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += max(entry.stat(follow_symlinks=False).st_blocks * BLOCK, EACH)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
            except OSError:
                continue
    return total, folders


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


class DiskBudget:
    """How many bytes a copy may grow in all its `folders`, and all copies that `shared` counts together.

    `grown` is the last walk's result.
    """

    def __init__(self, folders: tuple[Path, ...], limit: int, shared: SharedLimit, *, empty: bool) -> None:
        self._folders = folders
        self._limit = limit
        self._shared = shared
        self._start = 0 if empty else None
        self._free: int | None = None
        self._over = False
        self.grown = 0

    async def begin(self) -> None:
        """Measure before the first command: what exists at the start does not count."""
        if self._free is None:
            self._free = self._free_bytes()
            if self._start is None:
                self._start = await asyncio.to_thread(self._used)

    async def settle(self) -> None:
        """Measure after a command: what it wrote is accepted; only further growth counts."""
        if self._over:
            self._over = False
            self.grown = await asyncio.to_thread(self._used) - (self._start or 0)
        self._shared.hold(self, self.grown)

    def forget(self) -> None:
        """The copy is removed: it counts no longer."""
        self._shared.forget(self)

    async def guard(self, end: End, pid: int, root: str) -> None:
        """Measure until cancelled; call `end` once if the copy grows beyond its budget, or all copies do together.

        `pid` is the sandbox's process, `root` where its commands see the copy. A copy that is already over its budget
        may shrink: only further growth is ended.
        """

        def stop(why: str) -> None:
            self._over = True
            end(why)

        allowed = max(self._limit, self.grown)
        least = min(self._limit, self._shared.limit) * LEAST_SHARE
        self._shared.hold(self, self.grown, stop)
        before = self.grown
        while not self._over:
            began = time.monotonic()
            free = self._free_bytes()
            self._free = max(self._free or 0, free)
            if self._free - free > least:
                self._free = free
                self.grown = await asyncio.to_thread(self._used) - (self._start or 0)
                taken = self.grown + await asyncio.to_thread(removed_bytes, pid, root)
                if taken > allowed:
                    stop("disk")
                    return
                tell = self._shared.note if taken > before else self._shared.hold
                tell(self, taken, stop)
                before = taken
            await asyncio.sleep(max(LOOK_S, PATIENCE * (time.monotonic() - began)))

    def _used(self) -> int:
        return sum(map(disk_used, self._folders))

    def _free_bytes(self) -> int:
        try:
            info = os.statvfs(self._folders[0])
        except OSError:  # the copy is being removed
            return self._free or 0
        return info.f_bavail * info.f_frsize + info.f_favail * EACH

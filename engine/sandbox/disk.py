"""How much of the disk an agent's copy takes, and the end of what makes it grow beyond its budget."""

import asyncio
import os
import time
from pathlib import Path

from engine.sandbox.pools import End, Pool

BLOCK = 512
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
LOOK_S = 1.0
LEAST_SHARE = 1 / 32
"""Of the budget: while less of the whole disk was filled since the last walk, there is nothing to find by another."""
PATIENCE = 20
"""Times as long as a walk took are waited before the next."""


def disk_used(folder: Path) -> int:
    """Bytes on disk below a folder that may change meanwhile; links are not followed, what cannot be read counts 0.

    Goes down by descriptors and up by `..`, so that no depth is too deep; stops where it was moved on the way.
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
                    inner = os.open(waiting.pop(), FOLDER, dir_fd=here)
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


def _look(folder: int) -> tuple[int, list[str]]:
    """Bytes of what is in it, and which of that are folders."""
    total = 0
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_blocks * BLOCK
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
            except OSError:
                continue
    return total, folders


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


class DiskBudget:
    """What a copy may grow by in bytes, in all its `folders`, and all copies of `pool` together.

    `grown` is what a walk found last.
    """

    def __init__(self, folders: tuple[Path, ...], limit: int, pool: Pool, *, empty: bool) -> None:
        self._folders = folders
        self._limit = limit
        self._pool = pool
        self._start = 0 if empty else None
        self._free: int | None = None
        self._over = False
        self.grown = 0

    async def begin(self) -> None:
        """Before the first command: what is there from the start does not count."""
        if self._free is None:
            self._free = self._free_bytes()
            if self._start is None:
                self._start = await asyncio.to_thread(self._used)

    async def settle(self) -> None:
        """After a command: what was written until it had ended is there now, and only more is too much."""
        if self._over:
            self._over = False
            self.grown = await asyncio.to_thread(self._used) - (self._start or 0)
        self._pool.hold(self, self.grown)

    def forget(self) -> None:
        """The copy is removed."""
        self._pool.forget(self)

    async def guard(self, end: End) -> None:
        """Look on until cancelled, and call `end` once when the copy grows beyond its budget, or all do together.

        One that already is beyond may shrink: only further growth is ended.
        """

        def stop(why: str) -> None:
            self._over = True
            end(why)

        allowed = max(self._limit, self.grown)
        least = min(self._limit, self._pool.limit) * LEAST_SHARE
        self._pool.hold(self, self.grown, stop)
        while not self._over:
            began = time.monotonic()
            free = self._free_bytes()
            self._free = max(self._free or 0, free)
            if self._free - free > least:
                self._free = free
                before, self.grown = self.grown, await asyncio.to_thread(self._used) - (self._start or 0)
                if self.grown > allowed:
                    stop("disk")
                    return
                tell = self._pool.note if self.grown > before else self._pool.hold
                tell(self, self.grown, stop)
            await asyncio.sleep(max(LOOK_S, PATIENCE * (time.monotonic() - began)))

    def _used(self) -> int:
        return sum(map(disk_used, self._folders))

    def _free_bytes(self) -> int:
        try:
            info = os.statvfs(self._folders[0])
        except OSError:  # it is being removed
            return self._free or 0
        return info.f_bavail * info.f_frsize

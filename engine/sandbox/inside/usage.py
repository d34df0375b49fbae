"""What a command's processes use: threads, memory and CPU time, read from /proc."""

import os
import time

from .holdings import Holdings, living
from .system_v import size as system_v_size

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
STATE, PARENT, TIMES, THREADS, RESIDENT = 0, 1, slice(11, 15), 17, 21
"""Indexes of fields in `/proc/PID/stat`, counted after the name."""
ENTRY_BYTES = 1024
"""What the kernel keeps in memory for an empty file in a tmpfs."""
LOOK_S = 1.0
PATIENCE = 20
"""The pause between searches of what processes hold, as a multiple of the last search's duration."""
LEAST_SHARE = 32
"""The machine's memory has to rise by this part of the limit before the next search."""
CHANNEL_BYTES = 1 << 20
"""What a socket or pipe can keep in memory, at least; sockets may keep as much as the machine allows each."""
WHOLE = (b"MemTotal", b"Shmem", b"SwapTotal")
ELSEWHERE = (b"MemFree", b"Buffers", b"Cached", b"SReclaimable", b"AnonPages", b"SwapCached", b"SwapFree")


class Use:
    """What the processes `pids` use now.

    `threads`; CPU seconds `cpu_s`, including ended children that were waited for; `resident` bytes by process; `ended`:
    processes that this one should reap.
    """

    def __init__(self, pids: "list[int]") -> None:
        own = b"%d" % os.getpid()
        self.threads = ticks = 0
        self.resident: dict[int, int] = {}
        self.ended: list[int] = []
        for pid in pids:
            try:
                fields = _fields(f"/proc/{pid}")
                ticks += sum(int(field) for field in fields[TIMES])
                threads = int(fields[THREADS])
                if fields[STATE] in b"ZX" and threads > 1 and (other := living(pid)):
                    fields = _fields(other)
                if fields[STATE] not in b"ZX":
                    self.threads += threads
                    self.resident[pid] = int(fields[RESIDENT]) * PAGE
                elif fields[PARENT] == own:
                    self.ended.append(pid)
            except (OSError, ValueError, IndexError):
                continue
        self.cpu_s = ticks / TICKS


class MemoryMeter:
    """Measures a command's memory at the levels where no control group does.

    `tmpfs`: folders in memory. `private`: whether System V memory, semaphores and messages are the sandbox's own.
    """

    def __init__(self, limit: int, tmpfs: "list[bytes]", *, private: bool) -> None:
        self._limit = limit
        self._tmpfs = tmpfs
        self._private = private
        self._channel = max(CHANNEL_BYTES, 2 * _number("/proc/sys/net/core/wmem_max"))
        self._devices = {_memory_device()}
        self._last = machine_memory()
        self._risen = 0
        self._known = 0
        self._next_look = self._next = 0.0
        self._memory_files = 0
        self._private_pages = 0
        self._counted_twice = 0
        """Bytes by which sizes of single processes exceed what all of them use, when it was last found out."""
        self._exact_until = 0.0
        self.opaque = False
        """Whether the processes may hold memory that cannot be measured."""
        self.shared = 0
        """Bytes that the machine counts as neither a process's nor a cache's: measured here, whosever they are."""

    def measure(self, resident: "dict[int, int]", now: float) -> int:
        """Bytes of memory. `resident`: the processes' resident sizes; the exact sizes are taken if those exceed the
        limit."""
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            machine = machine_memory()
            self._risen += max(0, machine - self._last)
            self._last = machine
            room = self._limit - self._known
            if self._risen > room or (self._risen * LEAST_SHARE > self._limit and now >= self._next):
                self._search(resident, now)
        self._known = self._measure(resident, now)
        return self._known

    def _measure(self, resident: "dict[int, int]", now: float) -> int:
        if now >= self._exact_until:
            self._counted_twice = 0
        total = sum(resident.values()) + self._held() + self._private_pages
        if total - self._counted_twice > self._limit:
            if now >= self._next:
                self._search(resident, now)
            total = sum(resident.values()) + self._held() + self._private_pages
            self._counted_twice = total - self._exact(resident)
            self._exact_until = now + LOOK_S
        return total - self._counted_twice

    def _exact(self, resident: "dict[int, int]") -> int:
        """Memory without counting shared pages twice."""
        own = shared = 0
        for pid, size in resident.items():
            proportional = _proportional(pid) or (size, 0)
            own += proportional[0]
            shared += proportional[1]
        return own + max(shared, self._held()) + self._private_pages

    def _held(self) -> int:
        """Bytes of shared memory, mapped or not."""
        self.shared = sum(map(used, self._tmpfs)) + self._memory_files + (system_v_size() if self._private else 0)
        return self.shared

    def _search(self, resident: "dict[int, int]", now: float) -> None:
        """Look for what a process's resident size leaves out."""
        began = time.monotonic()
        self._risen = 0
        holdings = Holdings(list(resident), self._devices)
        self._memory_files = holdings.size
        self._private_pages = sum(map(_not_resident, resident))
        self.opaque = holdings.opaque or holdings.channels * self._channel * 2 > self._limit
        self._next = now + max(LOOK_S, PATIENCE * (time.monotonic() - began))


def machine_memory() -> int:
    """Bytes of the machine's memory that are neither free nor a cache nor a process's own: shared memory, swap, and
    what the kernel needs for sockets, pipes, page tables and so on."""
    total = 0
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file.read().splitlines():
                name, _, rest = line.partition(b":")
                if name in WHOLE:
                    total += int(rest.split()[0]) * 1024
                elif name in ELSEWHERE:
                    total -= int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 0
    return total


def _fields(process: str) -> "list[bytes]":
    with open(f"{process}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _memory_device() -> int:
    """The device that files in memory without a file system lie on."""
    file = os.memfd_create("device")
    try:
        return os.fstat(file).st_dev
    finally:
        os.close(file)


def used(folder: bytes) -> int:
    """Bytes of memory in a tmpfs."""
    try:
        info = os.statvfs(folder)
    except OSError:
        return 0
    return (info.f_blocks - info.f_bfree) * info.f_frsize + (info.f_files - info.f_ffree) * ENTRY_BYTES


def _not_resident(pid: int) -> int:
    """Bytes of a process's page tables and of what lies in swap."""
    try:
        with open(f"{living(pid)}/status", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith((b"VmPTE:", b"VmSwap:")))
    except (OSError, ValueError, IndexError):
        return 0


def _proportional(pid: int) -> "tuple[int, int] | None":
    """Bytes of memory with shared pages divided among their users: all but shared memory, and shared memory.

    None where it cannot be read.
    """
    own = shared = 0
    try:
        with open(f"{living(pid)}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith((b"Pss:", b"Pss_Shmem:")):
                    size = int(line.split()[1]) * 1024
                    own, shared = (own + size, shared) if line.startswith(b"Pss:") else (own - size, size)
    except (OSError, ValueError, IndexError):
        return None
    return own, shared


def _number(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def counted(file: int, name: bytes) -> int:
    """The number after `name` in a control group's open file, or the whole file as a number; 0 if absent."""
    for line in os.pread(file, 4096, 0).splitlines():
        key, _, number = line.rpartition(b" ")
        if key in (name, b""):
            return int(number)
    return 0

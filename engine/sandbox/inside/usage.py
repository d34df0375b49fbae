"""What a command's processes use: threads, memory and CPU time, read from /proc."""

import os

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
STATE, PARENT, TIMES, THREADS, RESIDENT = 0, 1, slice(11, 15), 17, 21
"""Indexes of fields in `/proc/PID/stat`, counted after the name."""


def used_by(pids: list[int], limit: int, tmpfs: list[bytes]) -> tuple[int, int, float, list[int]]:
    """The number of threads, bytes of memory, and CPU seconds including ended children that were waited for.

    Memory is the sum of resident sizes; if that exceeds `limit`, proportional sizes are used. Files in the file systems
    `tmpfs` count as memory, too. The list: ended processes that this one should reap.
    """
    held = sum(_held(folder) for folder in tmpfs)
    own = b"%d" % os.getpid()
    threads = resident = ticks = 0
    ended = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            ticks += sum(int(field) for field in fields[TIMES])
            if fields[STATE] not in b"ZX":
                threads += int(fields[THREADS])
                resident += int(fields[RESIDENT]) * PAGE
            elif fields[PARENT] == own:
                ended.append(pid)
        except (OSError, ValueError, IndexError):
            continue
    memory = held + resident
    if memory > limit:
        memory = held + sum(_shared_out(pid) for pid in pids)
    return threads, memory, ticks / TICKS, ended


def _held(folder: bytes) -> int:
    try:
        info = os.statvfs(folder)
    except OSError:
        return 0
    return (info.f_blocks - info.f_bfree) * info.f_frsize


def _shared_out(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    except (OSError, ValueError, IndexError):
        return 0


def counted(file: int, name: bytes) -> int:
    """The number after `name` in a control group's open file, or the whole file as a number; 0 if absent."""
    for line in os.pread(file, 4096, 0).splitlines():
        key, _, number = line.rpartition(b" ")
        if key in (name, b""):
            return int(number)
    return 0

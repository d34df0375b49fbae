"""Reads Linux's /proc: processes and their use, memory, pressure, locks. Missing files read as empty."""

import os
from collections.abc import Container

from msgspec import Struct

PROC = "/proc"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(Struct, frozen=True):
    """One process. `cpu_s`: its CPU seconds and those of ended children; `rss`: bytes, with shared pages."""

    pid: int
    parent: int
    cpu_s: float
    rss: int


def processes() -> dict[int, Process]:
    """All visible processes, by pid."""
    found = {}
    for name in os.listdir(PROC):
        if name.isdigit():
            process = _process(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def tree(root: int, among: dict[int, Process]) -> list[Process]:
    """The process and its descendants, parents first."""
    children: dict[int, list[Process]] = {}
    for process in among.values():
        children.setdefault(process.parent, []).append(process)
    found = [among[root]] if root in among else []
    for process in found:
        found += children.get(process.pid, ())
    return found


def proportional_memory(pid: int) -> int | None:
    """Bytes, with shared pages divided among their users (PSS); None if not permitted. Slow for large processes."""
    for line in _lines(f"{PROC}/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None


def own_memory(pid: int) -> int:
    """Bytes not shared with a file or another process; cheap."""
    for line in _lines(f"{PROC}/{pid}/statm"):
        fields = line.split()
        return (int(fields[1]) - int(fields[2])) * _PAGE
    return 0


def disk_bytes(pid: int) -> tuple[int, int]:
    """Bytes read from and written to disk by the process and by children that it has waited for."""
    read = written = 0
    for line in _lines(f"{PROC}/{pid}/io"):
        key, _, value = line.partition(": ")
        if key == "read_bytes":
            read = int(value)
        elif key == "write_bytes":
            written += int(value)
        elif key == "cancelled_write_bytes":
            written -= int(value)
    return read, max(0, written)


def memory_free() -> int | None:
    """Available bytes of the machine, or of this process's control group if that is less."""
    machine = None
    for line in _lines(f"{PROC}/meminfo"):
        if line.startswith("MemAvailable:"):
            machine = int(line.split()[1]) * 1024
    known = [free for free in (machine, _group_memory_free()) if free is not None]
    return min(known, default=None)


def pressure(resource: str) -> float:
    """Percent of the last 10 s in which some process waited for `cpu`, `memory` or `io`; 0 if not measured."""
    for line in _lines(f"{PROC}/pressure/{resource}"):
        if line.startswith("some "):
            return float(line.split()[1].removeprefix("avg10="))
    return 0.0


def cpu_load() -> tuple[int, float, float]:
    """The cores that this process may use, the mean number of processes that wanted one in the last minute, and the
    percentage of the last 10 s in which some process waited for one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores, os.getloadavg()[0], pressure("cpu")


def lock_waiters(pids: Container[int]) -> list[int]:
    """Those of `pids` that wait for a file lock, once for each lock.

    Source: the format of /proc/locks in proc(5).
    """
    lines = (
        line.split() for line in _lines(f"{PROC}/locks")
    )  # NUMBER: [->] KIND MODE ACCESS PID DEVICE:INODE START END
    return [waiter for fields in lines if fields[1] == "->" and (waiter := int(fields[5])) in pids]


def _process(pid: int) -> Process | None:
    # The name in parentheses may contain anything, even line ends; only numbers follow the last parenthesis.
    fields = " ".join(_lines(f"{PROC}/{pid}/stat")).rpartition(")")[2].split()
    if not fields:
        return None
    ticks = sum(int(field) for field in fields[11:15])
    return Process(pid, int(fields[1]), ticks / _TICKS, max(0, int(fields[21])) * _PAGE)


def _group_memory_free() -> int | None:
    """Bytes left in this process's control group (version 2); None if it has no limit."""
    for line in _lines(f"{PROC}/self/cgroup"):
        if not line.startswith("0::"):
            continue
        folder = f"/sys/fs/cgroup{line[3:].rstrip('/')}"
        limit, used = _first(f"{folder}/memory.max"), _first(f"{folder}/memory.current")
        if not limit.isdigit() or not used.isdigit():
            return None
        cache = [entry.split()[1] for entry in _lines(f"{folder}/memory.stat") if entry.startswith("inactive_file ")]
        return max(0, int(limit) - int(used) + int(cache[0] if cache else 0))
    return None


def _first(path: str) -> str:
    return next(iter(_lines(path)), "")


def _lines(path: str) -> list[str]:
    """A file's lines; empty if it is absent or forbidden, or its process has ended."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # plain calls: a sample reads a thousand such files
    except OSError:
        return []
    try:
        pieces = []
        while piece := os.read(file, 65_536):
            pieces.append(piece)
        return b"".join(pieces).decode(errors="replace").splitlines()
    except OSError:
        return []
    finally:
        os.close(file)

"""Identifies a process by id and start time, because ids are reused."""


def start_time(pid: int) -> str:
    """The process's start time in clock ticks, which together with the id identifies it; empty if it is gone."""
    return "".join(_status(pid)[19:20])


def is_running(pid: int, started: str) -> bool:
    """Whether the process with this id and start time is running. One that nobody has waited for is not."""
    status = _status(pid)
    return len(status) > 19 and status[19] == started and status[0] not in "ZX"


def _status(pid: int) -> list[str]:
    """The fields of the process's `stat` after its name, beginning with its state; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            return file.read(1 << 12).decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []

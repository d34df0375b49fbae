"""Which process an id stands for: ids are used again, the moment of the start tells them apart."""

from pathlib import Path


def start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks: with its id it names the process for good; empty if gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

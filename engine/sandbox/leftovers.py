"""Kills what a crashed engine's sandbox left running: its recorded first processes and all descendants."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from engine.sandbox.inside.jobs import others
from engine.sandbox.process_identity import is_running, start_time

GONE_S = 5.0
"""Seconds that the kernel has to end killed processes."""
POLL_S = 0.005


def record(path: Path, pids: Iterable[int]) -> None:
    """Record a sandbox's first processes, outside and inside."""
    path.write_text("".join(f"{pid} {start_time(pid)}\n" for pid in pids))


def kill_recorded(path: Path) -> bool:
    """Kill recorded processes and their descendants. Returns whether it is certain that all of them have ended.

    If a start time differs, the id was reused: that process is left alone.
    """
    try:
        recorded = [(int(pid), started) for pid, started in map(str.split, path.read_text().splitlines())]
    except FileNotFoundError:  # no sandbox was started
        return True
    except (OSError, ValueError):
        return False
    for pid, started in recorded:
        if start_time(pid) == started:
            _kill_tree(pid)
    end = time.monotonic() + GONE_S
    while any(is_running(pid, started) for pid, started in recorded):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def _kill_tree(pid: int) -> None:
    """Stop processes before searching: a stopped parent keeps its children findable and starts no new ones."""
    _send(pid, signal.SIGSTOP)
    killed: set[int] = set()
    while left := set(others(pid)) - killed:
        for each in left:
            _send(each, signal.SIGKILL)
        killed |= left
    _send(pid, signal.SIGKILL)


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(OSError):
        os.kill(pid, what)

"""Kills what a crashed engine's sandbox left running: its recorded first process and all descendants."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from engine.sandbox.inside.jobs import others
from engine.sandbox.process_identity import start_time


def record(path: Path, pid: int, started: str) -> None:
    """Record a sandbox's first process. `started` is its `start_time`."""
    path.write_text(f"{pid} {started}\n")


def kill_recorded(path: Path) -> None:
    """Kill a recorded process and its descendants. If the start time differs, the id was reused: the process is left
    alone."""
    try:
        pid, started = path.read_text().split()
        if start_time(int(pid)) == started:
            _kill_tree(int(pid))
    except (OSError, ValueError):
        return


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

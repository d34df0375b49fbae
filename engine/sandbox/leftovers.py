"""Kills what a dead engine's sandbox left running: its first process, if it is the one on record, and all below."""

import os
import signal
from pathlib import Path

from engine.sandbox.inside.jobs import others
from engine.sandbox.process_identity import start_time


def record(path: Path, pid: int, started: str) -> None:
    """Keep which process a sandbox's first one is. `started` is its `start_time`."""
    path.write_text(f"{pid} {started}\n")


def kill_recorded(path: Path) -> None:
    """A process whose start time differs has only taken over the id, and is left alone."""
    try:
        pid, started = path.read_text().split()
        if start_time(int(pid)) == started:
            _kill_tree(int(pid))
    except (OSError, ValueError):
        return


def _kill_tree(pid: int) -> None:
    """Stopped first: what it is the parent of stays so until all is found, and it starts nothing more."""
    _send(pid, signal.SIGSTOP)
    killed: set[int] = set()
    while left := set(others(pid)) - killed:
        for each in left:
            _send(each, signal.SIGKILL)
        killed |= left
    _send(pid, signal.SIGKILL)


def _send(pid: int, what: signal.Signals) -> None:
    try:
        os.kill(pid, what)
    except OSError:
        pass

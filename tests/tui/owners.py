"""Runs that another process owns: started, killed and waited for on conditions, never on time."""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Signal

from tui.bridge import RunListing, SampleProject, list_runs, list_samples
from tui.commands.scratch import scratch_repo
from tui.sessions.session import Session

WAIT_S = 100
SLOW = "rehearsal:notes?speed=2"
"""Lasts long enough to do something to it."""


def until(condition: Callable[[], object], session: Session | None = None) -> None:
    """Wait for a condition; what breaks the session meanwhile breaks the test."""
    for _ in range(WAIT_S * 20):
        if condition():
            return
        if session is not None and (failure := session.failure()) is not None:
            raise failure
        Signal().wait(0.05)
    raise AssertionError("it never came true")


def notes() -> SampleProject:
    return next(sample for sample in list_samples() if sample.name == "notes")


class Owner:
    """A run's process without a screen."""

    def __init__(self, state: Path, *words: str) -> None:
        self.state = state
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui", *words, "--state-dir", str(state)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "SWARM_SANDBOX_LEVEL": "off"},
            start_new_session=True,
        )

    def run(self) -> RunListing:
        """The newest run, once it answers."""
        until(lambda: (runs := list_runs(self.state)) and runs[0].live and runs[0].folder.socket.exists())
        return list_runs(self.state)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def owned(tmp_path: Path, model: str = SLOW) -> Iterator[Owner]:
    """A new run of the sample `notes` in a process of its own."""
    repo = scratch_repo(Namespace(state_dir=str(tmp_path)), notes())
    intent = str(notes().folder / "INTENT.md")
    owner = Owner(tmp_path, "run", str(repo), "--intent", intent, "--model", model, "--check", "")
    try:
        yield owner
    finally:
        owner.kill()


@contextmanager
def resumed(tmp_path: Path, model: str = SLOW) -> Iterator[Owner]:
    """The newest unfinished run, taken up by a process of its own."""
    owner = Owner(tmp_path, "resume", list_runs(tmp_path)[0].run, "--model", model)
    try:
        yield owner
    finally:
        owner.kill()

"""The program in a private tmux server at its defaults, as a person has it: keys in, the screen read back."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tui.owners import until
from tui.bridge import list_runs

TMUX = shutil.which("tmux")


class Tmux:
    """A server of its own with one window."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.socket = folder / "tmux"
        self.environ = {**os.environ, "SWARM_SANDBOX_LEVEL": "off", "PS1": "$ ", "EDITOR": "cp -t ."}
        for name in ("TMUX", "COLUMNS", "LINES"):  # the window's own count here
            self.environ.pop(name, None)
        self("new-session", "-d", "-x", "120", "-y", "40", "-c", str(folder), "sh")

    def __call__(self, *words: str) -> str:
        command = [str(TMUX), "-S", str(self.socket), "-f", "/dev/null", *words]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def keys(self, *keys: str) -> None:
        self("send-keys", *keys)

    def walk(self, keys: str) -> None:
        """Press keys, one word each; of a word after `/` each letter."""
        typed = False
        for word in keys.split():
            self("send-keys", *(["-l", word] if typed else [word]))
            typed = word == "/"

    def program(self, words: str) -> None:
        self("send-keys", "-l", f"clear; {sys.executable} -m tui {words} --state-dir {self.state}")
        self.keys("Enter")

    def shows(self, pattern: str) -> None:
        """Wait until the screen matches."""
        try:
            until(lambda: re.search(pattern, self("capture-pane", "-p")))
        except AssertionError:
            raise AssertionError(self("capture-pane", "-p")) from None


@contextmanager
def in_tmux(folder: Path) -> Iterator[Tmux]:
    """A server, and its end with all runs that were begun in it."""
    server = Tmux(folder)
    try:
        yield server
    finally:
        for run in list_runs(server.state):
            if run.live and run.pid is not None:
                os.kill(run.pid, 9)
        server("kill-server")

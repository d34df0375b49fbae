"""Processes that own a run, for tests that need a second one."""

import subprocess
import sys
from pathlib import Path

from engine.runs.create import new_run
from engine.runs.folder import RunFolder
from engine.runs.lock import RunLock
from engine.system import SystemClock, SystemRandomness

OWN = """
import sys
from pathlib import Path
from engine.domain.errors import SwarmError
from engine.runs.create import new_run
from engine.system import SystemClock, SystemRandomness
print("ready", flush=True)
sys.stdin.readline()
try:
    folder, lock = new_run(Path(sys.argv[1]), Path(sys.argv[2]), SystemClock(), SystemRandomness())
    print("owns", folder.run, flush=True)
except SwarmError as error:
    print(error.kind, error.message, flush=True)
sys.stdin.readline()
"""


def make(root: Path, git_dir: Path) -> tuple[RunFolder, RunLock]:
    return new_run(root, git_dir, SystemClock(), SystemRandomness(1))


def process(root: Path, git_dir: Path) -> "subprocess.Popen[str]":
    """Another swarm-tui, which starts a run when it gets a line and ends with the next."""
    command = [sys.executable, "-c", OWN, str(root), str(git_dir)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout
    assert started.stdout.readline() == "ready\n"
    return started


def say(to: "subprocess.Popen[str]") -> None:
    assert to.stdin
    to.stdin.write("\n")
    to.stdin.flush()


def hear(from_: "subprocess.Popen[str]") -> str:
    assert from_.stdout
    return from_.stdout.readline().strip()

"""A busy machine: a swarm whose commands need the CPU, beside a program of the person's that takes all of it.

Run with `python -m tests.bench busy [--tasks N] [--workers N] [--loops N] [--rounds N]`. The ways take turns in one
run. *without*: every worker's command crawls beside all others and is killed at its time limit. *with*: the governor
lets fewer commands run, and a time limit counts only the time in which a command had a CPU. The tasks are those of
the sample `load`; the test of each needs `--burn` seconds of CPU and may take `--limit`. The scripted model runs a
killed command once more, and then its task fails. A swarm ends with its last task, or after `--longest`; with the
other program's loops alone on two cores, both ways together take about three minutes.
"""

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from tests.bench.report import Report

WITH = """
import sys
from engine.models.rehearsal import generated_playbook as playbook
plain = playbook._test
playbook._test = lambda *numbers: plain(*numbers).replace(
    "        self", "        import time\\n        while time.process_time() < {burn}: pass\\n        self", 1)
from tui.cli import main
sys.exit(main())
"""
WITHOUT = """
from functools import partial
from engine.resources import governor
from engine.sandbox import containment
governor.Bounds = partial(governor.Bounds, starved_high=101.0)
containment.PATIENCE = 1
"""
GRACE_S = 30.0


class Swarm(Struct, frozen=True):
    """One swarm: what it landed in which time, and what its commands did."""

    landed: int
    failed: int
    last_s: float | None
    """From the first task's start to the last landing."""
    commands: int
    killed: int
    fewest: int | None
    """The lowest limit of workers that the governor set."""


@contextmanager
def other_program(loops: int, longest_s: float) -> Iterator[None]:
    """Busy loops at normal priority in a session of their own, as a build in another terminal has it. They end by
    themselves in case nobody is left to end them."""
    loop = f"import signal; signal.alarm({longest_s:.0f})\nwhile True: pass"
    each = f"{sys.executable} -c '{loop}' & "
    with subprocess.Popen(["/bin/sh", "-c", f"{each * loops} wait"], start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def measure(program: str, arguments: argparse.Namespace) -> Swarm:
    """Run one swarm to its end, or to the longest time, in a process and a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench-busy-"))
    model = f"rehearsal:load?speed=0&conflicts=0&agents={arguments.workers}&tasks={arguments.tasks}"
    program = program.replace("{burn}", str(arguments.burn))
    command = [sys.executable, "-c", program, "demo", "load", "--headless", "--model", model, "--check", ""]
    command += ["--workers", str(arguments.workers), "--for", f"{arguments.longest}s", "--state-dir", str(folder)]
    environ = {**os.environ, "SWARM_SANDBOX_COMMAND_TIMEOUT": arguments.limit, "SWARM_BUILD_GATE": ""}
    try:
        with other_program(arguments.loops, arguments.longest + GRACE_S):
            subprocess.run(
                command,
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=arguments.longest + GRACE_S,
                check=False,
            )
        return _record(next(folder.rglob("journal.db")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _record(journal: Path) -> Swarm:
    """What the run's own record says."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        landed, failed, last_s = db.execute(
            "SELECT sum(state = 'landed'), sum(state = 'failed'), "
            "(max(CASE state WHEN 'landed' THEN ended END) - min(started)) / 1e6 FROM tasks"
        ).fetchone()
        limits = db.execute("SELECT body -> '$.limit.workers' FROM events WHERE kind = 'load_limited'").fetchall()
        answers = "SELECT count(*) FROM events WHERE kind = 'tool_finished' AND body LIKE '%killed: timeout%'"
        commands = "SELECT count(*) FROM tool_calls WHERE tool = 'shell'"
        return Swarm(
            landed=landed or 0,
            failed=failed or 0,
            last_s=last_s,
            commands=db.execute(commands).fetchone()[0],
            killed=db.execute(answers).fetchone()[0],
            fewest=min((int(each) for (each,) in limits if each not in (None, "null")), default=None),
        )


def run(words: list[str]) -> Report:
    parser = argparse.ArgumentParser(prog="bench busy")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--loops", type=int, default=os.cpu_count(), help="busy loops beside the swarm")
    parser.add_argument("--burn", type=float, default=0.3, help="CPU seconds of each task's test")
    parser.add_argument("--limit", default="4s", help="time limit of a command")
    parser.add_argument("--longest", type=int, default=150, help="seconds after which a swarm is stopped")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args(words)
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    columns = ("way", "landed", "of", "last landing s", "failed", "commands", "killed at the limit", "fewest workers")
    report = Report("busy", columns)
    for turn in range(arguments.rounds):
        for name, program in (("without", WITHOUT + WITH), ("with", WITH)):
            one = measure(program, arguments)
            figures = (one.landed, arguments.tasks, one.last_s, one.failed, one.commands, one.killed, one.fewest)
            report.rows.append((name, *figures))
            report.figures |= {
                f"{name}_{turn}: {column}": figure for column, figure in zip(columns[1:], figures, strict=True)
            }
    report.notes.append(
        f"{arguments.tasks} tasks of {arguments.burn:g} s of CPU, {arguments.limit} for a command; "
        f"{arguments.workers} workers, {arguments.loops} busy loops beside them"
    )
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

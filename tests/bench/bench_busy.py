"""A busy machine: a swarm whose commands need the CPU, beside a program of the person's that takes all of it.

Run with `python -m tests.bench busy [--tasks N] [--workers N] [--loops N] [--rounds N]`. The ways take turns in one
run: *without*, where every worker's command crawls beside all others and is killed at its time limit, and *with*, where
the governor lets fewer run and a time limit counts only the time in which a command had a CPU. The tasks are those of
the sample `load`; the test of each needs `--burn` seconds of CPU and may take `--limit`. A killed command is run once
more, then its task fails, as a rehearsed model does it.
"""

import argparse
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from tests.bench.report import Report, ratio

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
    wall_s: float
    task_s: float
    commands: int
    killed: int
    fewest: int | None
    """The lowest limit of workers that the governor set."""

    @property
    def landed_per_minute(self) -> float:
        return 60 * self.landed / self.wall_s if self.wall_s else 0.0


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
        landed, failed, first, last = db.execute(
            "SELECT sum(state = 'landed'), sum(state = 'failed'), min(started), max(ended) FROM tasks"
        ).fetchone()
        spans = db.execute("SELECT (ended - started) / 1e6 FROM tasks WHERE state = 'landed'").fetchall()
        limits = db.execute("SELECT body -> '$.limit.workers' FROM events WHERE kind = 'load_limited'").fetchall()
        answers = "SELECT count(*) FROM events WHERE kind = 'tool_finished' AND body LIKE '%killed: timeout%'"
        commands = "SELECT count(*) FROM tool_calls WHERE tool = 'shell'"
        return Swarm(
            landed=landed or 0,
            failed=failed or 0,
            wall_s=(last - first) / 1e6 if first and last else 0.0,
            task_s=statistics.median(span for (span,) in spans) if spans else 0.0,
            commands=db.execute(commands).fetchone()[0],
            killed=db.execute(answers).fetchone()[0],
            fewest=min((int(each) for (each,) in limits if each not in (None, "null")), default=None),
        )


def run(words: list[str]) -> Report:
    parser = argparse.ArgumentParser(prog="bench busy")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--loops", type=int, default=4, help="busy loops beside the swarm")
    parser.add_argument("--burn", type=float, default=1.0, help="CPU seconds of each task's test")
    parser.add_argument("--limit", default="10s", help="time limit of a command")
    parser.add_argument("--longest", type=int, default=300, help="seconds after which a swarm is stopped")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args(words)
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    columns = ("way", "landed", "failed", "wall s", "landed/min", "median task s", "commands", "killed", "workers ≥")
    report = Report("busy", columns)
    ways: dict[str, list[Swarm]] = {"without": [], "with": []}
    for _ in range(arguments.rounds):
        for name, program in (("without", WITHOUT + WITH), ("with", WITH)):
            one = measure(program, arguments)
            ways[name].append(one)
            figures = (one.wall_s, one.landed_per_minute, one.task_s, one.commands, one.killed, one.fewest)
            report.rows.append((name, one.landed, one.failed, *figures))
    for name, swarms in ways.items():
        report.figures |= {
            f"{name}_landed": sum(one.landed for one in swarms),
            f"{name}_wall_s": round(sum(one.wall_s for one in swarms), 1),
            f"{name}_landed_per_minute": round(statistics.median(one.landed_per_minute for one in swarms), 2),
            f"{name}_task_s": round(statistics.median(one.task_s for one in swarms), 1),
            f"{name}_killed": sum(one.killed for one in swarms),
        }
    for figure in ("landed_per_minute", "task_s"):
        given, before = report.figures[f"with_{figure}"], report.figures[f"without_{figure}"]
        assert isinstance(given, float)
        assert isinstance(before, float)
        report.ratios[f"{figure}_with_to_without"] = ratio(given, before)
    report.notes.append(
        f"{arguments.tasks} tasks of {arguments.burn:g} s of CPU, {arguments.limit} for a command; "
        f"{arguments.workers} workers, {arguments.loops} busy loops beside them"
    )
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

"""How the whole engine scales with its agents: rehearsed swarms of several sizes, one process each, one after another.

Everything but the model is real: git, sandboxes, SQLite. The rehearsal answers at once and the tasks run no tests,
so that what remains is the engine's own cost. A step is one model call with what follows from it.
"""

import argparse
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from engine.resources import proc
from tests.bench.report import Report, ratio

TASKS = {1: 10, 10: 40, 50: 100, 200: 200}
"""How many tasks a swarm of so many workers is given: enough for every worker to have some, and for a bounded time."""
LONGEST_S = 40.0
"""One swarm is stopped after this time, and what it did until then is counted."""
GRACE_S = 20.0
"""After that long it is killed."""
POLL_S = 1.0
"""Between two looks at the memory; one costs some milliseconds."""


class Measured(msgspec.Struct, frozen=True):
    """One swarm.

    `wall_s` is from its first event to its last landing, `cpu_s` of the process and all it started (unknown when it
    had to be killed), memory in MiB, `landing_s` the median time of a handoff, waiting for other landings included.
    """

    workers: int
    landed: int
    wall_s: float
    cpu_s: float | None
    steps: int
    landing_s: float
    memory_peak: float
    memory_idle: float
    finished: bool

    @property
    def landed_per_s(self) -> float:
        return self.landed / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_ms_per_step(self) -> float | None:
        return 1000 * self.cpu_s / self.steps if self.cpu_s is not None and self.steps else None

    @property
    def memory_per_worker(self) -> float:
        return (self.memory_peak - self.memory_idle) / self.workers


def run(options: list[str]) -> Report:
    """Measure each size in turn. `--agents 1,10` measures others, `--conflicts RATE` adds conflicts."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench agents")
    parser.add_argument("--agents", default=",".join(map(str, TASKS)))
    parser.add_argument("--conflicts", type=float, default=0.0)
    arguments = parser.parse_args(options)
    columns = (
        "workers",
        "tasks landed",
        "landed/s",
        "steps/s",
        "CPU ms/step",
        "landing s",
        "peak MiB",
        "MiB/worker",
        "wall s",
    )
    report = Report("agents", columns)
    found: dict[int, Measured] = {}
    for size in (int(each) for each in arguments.agents.split(",")):
        one = found[size] = measure(size, TASKS.get(size, 3 * size), arguments.conflicts)
        per_s = one.steps / one.wall_s if one.wall_s else 0.0
        measured = (one.landed_per_s, per_s, one.cpu_ms_per_step, one.landing_s, one.memory_peak)
        report.rows.append((size, one.landed, *measured, one.memory_per_worker, one.wall_s))
        report.figures |= {
            f"landed_per_s_{size}": round(one.landed_per_s, 3),
            f"cpu_ms_per_step_{size}": one.cpu_ms_per_step and round(one.cpu_ms_per_step, 2),
            f"landing_s_{size}": round(one.landing_s, 3),
            f"memory_mib_{size}": round(one.memory_peak, 1),
            f"finished_{size}": int(one.finished),
        }
    least, most = found[min(found)], found[max(found)]
    for size, one in found.items():
        if one is not least:
            name = f"{size}_to_{least.workers}"
            report.ratios[f"landed_per_s_{name}"] = ratio(one.landed_per_s, least.landed_per_s)
            report.ratios[f"cpu_per_step_{name}"] = ratio(one.cpu_ms_per_step, least.cpu_ms_per_step)
    report.figures["memory_mib_per_worker"] = round(most.memory_per_worker, 2)
    report.notes.append("memory: proportional (PSS) where it could be read, of the process and all it started")
    return report


def measure(workers: int, tasks: int, conflicts: float) -> Measured:
    """Run one swarm to its end, or to the longest time, in a process and a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench-agents-"))
    model = f"rehearsal:load?speed=0&shell=0&agents={workers}&tasks={tasks}&conflicts={conflicts}"
    command = [sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main())"]
    command += ["demo", "load", "--headless", "--model", model, "--workers", str(workers), "--check", ""]
    command += ["--for", f"{LONGEST_S:.0f}s", "--state-dir", str(folder)]
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        idle, peak = _watch(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Measured(
            workers=workers,
            cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if process.returncode >= 0
            else None,
            memory_peak=peak / 2**20,
            memory_idle=idle / 2**20,
            **_record(next(folder.rglob("journal.db"))),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _watch(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Bytes of memory before the first worker (the least seen of the started program) and at the peak."""
    idle = peak = 0
    deadline = time.monotonic() + LONGEST_S + GRACE_S
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            tree = proc.tree(process.pid, proc.processes())
            memory = sum(proc.proportional_memory(each.pid) or proc.own_memory(each.pid) for each in tree)
            own = proc.proportional_memory(process.pid) or memory
            idle = min(idle or own, own)
            peak = max(peak, memory)
            if time.monotonic() > deadline:
                process.kill()
        else:
            return idle, peak


def _record(journal: Path) -> dict[str, Any]:
    """What the run's own record says."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        count = dict(db.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall())
        first, last = db.execute(
            "SELECT min(at), max(CASE kind WHEN 'landing_finished' THEN at END) FROM events"
        ).fetchone()
        landed = db.execute("SELECT count(*) FROM tasks WHERE state = 'landed'").fetchone()[0]
        state = db.execute("SELECT body ->> 'state' FROM events WHERE kind = 'run_state_changed' ORDER BY seq DESC")
        handoffs = "SELECT wall_s FROM tool_calls WHERE tool = 'submit_handoff' AND state = 'ok'"
        waits = [wait for (wait,) in db.execute(handoffs).fetchall() if wait is not None]
        return {
            "landed": landed,
            "wall_s": ((last or first) - first) / 1e6,
            "steps": count.get("turn_taken", 0),
            "landing_s": statistics.median(waits) if waits else 0.0,
            "finished": state.fetchone() == ("finished",),
        }


if __name__ == "__main__":
    run(sys.argv[1:]).show()

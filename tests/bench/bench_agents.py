"""How the whole engine scales with its agents: rehearsed swarms of several sizes, one process each, one after another.

Everything but the model is real: git, sandboxes, SQLite. The rehearsal answers at once and the tasks run no tests,
so that what remains is the engine's own cost. A step is one model call with what follows from it. The engine is one
process; what it starts is counted apart: sandboxes, and commands in them.

Two costs come apart by two swarms of one size, whose tasks take 4 steps, as few as can be, and 24: that of a further
step, and that of a task (a copy, a sandbox, a landing). `--latency SECONDS` gives each model call that time instead
and tells how landed work grows with the agents: N agents against N times one.
"""

import argparse
import os
import select
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
CREWS = (1, 50, 200, 500)
"""Sizes that are measured where calls have latency."""
TICKS = os.sysconf("SC_CLK_TCK")
LONGEST_S = 40.0
"""One swarm is stopped after this time, and what it did until then is counted."""
GRACE_S = 20.0
"""After that long it is killed."""
POLL_S = 1.0
"""Between two looks at the memory at least, and POLL_TIMES what the last one took: hundreds of sandboxes are many."""
POLL_TIMES = 30
DRAFTS = 20
"""Steps more that a task takes where the cost of a step is measured, and where calls have latency."""
SPLIT = 50
"""Workers of the swarms that tell a step's cost from a task's."""
IN_TURN = 2
"""Tasks that each worker is given where calls have latency."""


class Measured(msgspec.Struct, frozen=True):
    """One swarm.

    `wall_s` is from its first task's start to its last landing, `engine_s` and `started_s` the CPU time of the process
    and of all it started, memory in MiB, `landing_s` the median time of a handoff, waiting for other landings included,
    `task_s` the mean time of a task from its start to its end, `working_s` that of all tasks together.
    """

    workers: int
    landed: int
    wall_s: float
    engine_s: float
    started_s: float
    task_s: float
    working_s: float
    steps: int
    landing_s: float
    memory_peak: float
    memory_idle: float
    finished: bool

    @property
    def landed_per_s(self) -> float:
        return self.landed / self.wall_s if self.wall_s else 0.0

    @property
    def engine_ms_per_step(self) -> float | None:
        return 1000 * self.engine_s / self.steps if self.steps else None

    @property
    def started_ms_per_step(self) -> float | None:
        return 1000 * self.started_s / self.steps if self.steps else None

    @property
    def memory_per_worker(self) -> float:
        return (self.memory_peak - self.memory_idle) / self.workers


def run(options: list[str]) -> Report:
    """Measure each size in turn. `--agents 1,10` measures others, `--conflicts RATE` adds conflicts."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench agents")
    parser.add_argument("--agents", default="")
    parser.add_argument("--conflicts", type=float, default=0.0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds of each model call")
    arguments = parser.parse_args(options)
    sizes = [int(each) for each in arguments.agents.split(",") if each]
    if arguments.latency:
        return _with_latency(sizes or list(CREWS), arguments.latency)
    columns = (
        "workers",
        "tasks landed",
        "landed/s",
        "steps/s",
        "engine CPU ms/step",
        "started CPU ms/step",
        "landing s",
        "peak MiB",
        "MiB/worker",
        "wall s",
    )
    report = Report("agents", columns)
    found: dict[int, Measured] = {}
    for size in sizes or list(TASKS):
        one = found[size] = measure(size, TASKS.get(size, 3 * size), arguments.conflicts)
        per_s = one.steps / one.wall_s if one.wall_s else 0.0
        cpu = (one.engine_ms_per_step, one.started_ms_per_step)
        measured = (one.landed_per_s, per_s, *cpu, one.landing_s, one.memory_peak)
        report.rows.append((size, one.landed, *measured, one.memory_per_worker, one.wall_s))
        report.figures |= {
            f"landed_per_s_{size}": round(one.landed_per_s, 3),
            f"engine_cpu_ms_per_step_{size}": _rounded(one.engine_ms_per_step),
            f"started_cpu_ms_per_step_{size}": _rounded(one.started_ms_per_step),
            f"landing_s_{size}": round(one.landing_s, 3),
            f"memory_mib_{size}": round(one.memory_peak, 1),
            f"finished_{size}": int(one.finished),
        }
    least, most = found[min(found)], found[max(found)]
    for size, one in found.items():
        if one is not least:
            name = f"{size}_to_{least.workers}"
            report.ratios[f"landed_per_s_{name}"] = ratio(one.landed_per_s, least.landed_per_s)
            report.ratios[f"engine_cpu_per_step_{name}"] = ratio(one.engine_ms_per_step, least.engine_ms_per_step)
    report.figures["memory_mib_per_worker"] = round(most.memory_per_worker, 2)
    if not sizes:
        _tell_apart(report)
    report.notes.append("memory: proportional (PSS) where it could be read, of the process and all it started")
    report.notes.append("CPU of the shortest tasks (4 steps), the program's own start included")
    return report


def _tell_apart(report: Report) -> None:
    """What a further step costs and what a task does, the program's start and end taken off."""
    few, many = (measure(SPLIT, tasks, 0.0) for tasks in (SPLIT, 3 * SPLIT))
    long = measure(SPLIT, 3 * SPLIT, 0.0, drafts=DRAFTS)
    step_ms = 1000 * (long.engine_s - many.engine_s) / (long.steps - many.steps)
    task_ms = 1000 * (many.engine_s - few.engine_s) / (many.landed - few.landed)
    steps = long.steps / long.landed
    report.figures |= {
        "engine_cpu_ms_per_further_step": round(step_ms, 2),
        "engine_cpu_ms_per_short_task": round(task_ms, 1),
        f"engine_cpu_ms_per_step_of_{steps:.0f}_step_tasks": round((task_ms + step_ms * DRAFTS) / steps, 2),
        "started_cpu_ms_per_task": round(1000 * (many.started_s - few.started_s) / (many.landed - few.landed), 1),
    }
    report.ratios["further_step_of_3_ms"] = ratio(step_ms, 3.0)


def _with_latency(sizes: list[int], latency: float) -> Report:
    """How landed work grows. Landed a second: workers divided by the mean time of a task, once all are at work."""
    columns = (
        *("workers", "tasks landed", "at work", "task s", "landed/s", "of N times one", "engine CPU of a core"),
        *("engine CPU ms/step", "peak MiB"),
    )
    report = Report("agents", columns)
    base: float | None = None
    for size in sizes:
        longest = IN_TURN * (DRAFTS + 4) * latency * 1.5 + LONGEST_S
        one = measure(size, IN_TURN * size, 0.0, drafts=DRAFTS, turn_s=latency, longest_s=longest)
        per_s = size / one.task_s if one.task_s else 0.0
        base = base or per_s / size
        share = ratio(per_s, size * base)
        core = ratio(one.engine_s, one.wall_s)
        at_work = one.working_s / one.wall_s if one.wall_s else 0.0
        step_ms = one.engine_ms_per_step
        report.rows.append((size, one.landed, at_work, one.task_s, per_s, share, core, step_ms, one.memory_peak))
        report.figures |= {
            f"full_crew_landed_per_s_{size}": round(per_s, 4),
            f"task_s_{size}": round(one.task_s, 2),
            f"at_work_{size}": round(at_work, 1),
            f"engine_cores_{size}": core,
            f"engine_cpu_ms_per_step_{size}": _rounded(step_ms),
            f"memory_mib_{size}": round(one.memory_peak, 1),
            f"finished_{size}": int(one.finished),
        }
        report.ratios[f"landed_{size}_to_{size}_times_{sizes[0]}"] = share
    report.figures |= {"latency_s": latency, "steps_per_task": DRAFTS + 4}
    report.notes.append("every model call takes the same time; starting and ending the swarm is left out")
    return report


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def measure(
    workers: int, tasks: int, conflicts: float, drafts: int = 0, turn_s: float = 0.0, longest_s: float = LONGEST_S
) -> Measured:
    """Run one swarm to its end, or to the longest time, in a process and a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench-agents-"))
    shape = f"agents={workers}&tasks={tasks}&conflicts={conflicts}&drafts={drafts}&turn_s={turn_s}"
    model = f"rehearsal:load?speed=0&shell=0&{shape}"
    command = [sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main())"]
    command += ["demo", "load", "--headless", "--model", model, "--workers", str(workers), "--check", ""]
    command += ["--for", f"{longest_s:.0f}s", "--state-dir", str(folder)]
    environ = {**os.environ, "SWARM_MAX_AGENTS": str(2 * workers + 100)}
    try:
        process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        idle, peak = _watch(process, longest_s + GRACE_S)
        engine_s, started_s = _cpu_s(process.pid)
        process.wait()
        return Measured(
            workers=workers,
            engine_s=engine_s,
            started_s=started_s,
            memory_peak=peak / 2**20,
            memory_idle=idle / 2**20,
            **_record(next(folder.rglob("journal.db"))),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cpu_s(pid: int) -> tuple[float, float]:
    """Of an ended process that was not waited for yet, and of all it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, started_user, started_system = (int(field) / TICKS for field in fields[11:15])
    return user + system, started_user + started_system


def _watch(process: subprocess.Popen[bytes], longest_s: float) -> tuple[int, int]:
    """Until it has ended, and is still to be waited for. Bytes of memory before the first worker (the least seen of the
    started program) and at the peak."""
    idle = peak = 0
    deadline = time.monotonic() + longest_s
    pidfd = os.pidfd_open(process.pid)
    pause = POLL_S
    try:
        while not select.select([pidfd], [], [], pause)[0]:
            began = time.monotonic()
            tree = proc.tree(process.pid, proc.processes())
            memory = sum(proc.proportional_memory(each.pid) or proc.own_memory(each.pid) for each in tree)
            own = proc.proportional_memory(process.pid) or memory
            idle = min(idle or own, own)
            peak = max(peak, memory)
            if time.monotonic() > deadline:
                process.kill()
            pause = max(POLL_S, POLL_TIMES * (time.monotonic() - began))
        return idle, peak
    finally:
        os.close(pidfd)


def _record(journal: Path) -> dict[str, Any]:
    """What the run's own record says."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        count = dict(db.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall())
        first, last = db.execute(
            "SELECT min(CASE kind WHEN 'task_started' THEN at END), max(CASE kind WHEN 'landing_finished' THEN at END) "
            "FROM events"
        ).fetchone()
        landed = db.execute("SELECT count(*) FROM tasks WHERE state = 'landed'").fetchone()[0]
        state = db.execute("SELECT body ->> 'state' FROM events WHERE kind = 'run_state_changed' ORDER BY seq DESC")
        times = "SELECT avg(ended - started) / 1e6 FROM tasks WHERE state = 'landed'"
        spans = "SELECT sum(ended - started) / 1e6 FROM tasks WHERE started IS NOT NULL"
        handoffs = "SELECT wall_s FROM tool_calls WHERE tool = 'submit_handoff' AND state = 'ok'"
        waits = [wait for (wait,) in db.execute(handoffs).fetchall() if wait is not None]
        return {
            "landed": landed,
            "wall_s": (last - first) / 1e6 if first and last else 0.0,
            "steps": count.get("turn_taken", 0),
            "task_s": db.execute(times).fetchone()[0] or 0.0,
            "working_s": db.execute(spans).fetchone()[0] or 0.0,
            "landing_s": statistics.median(waits) if waits else 0.0,
            "finished": state.fetchone() == ("finished",),
        }


if __name__ == "__main__":
    run(sys.argv[1:]).show()

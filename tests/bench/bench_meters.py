"""Meters: what measuring a swarm's processes costs of a core, at up to 500 processes that agents run.

Run with `python -m tests.bench meters [--rounds N]`. One in ten processes works and starts others; the rest sleep.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.domain.types import AgentId
from engine.orchestrator.sampler import SAMPLE_S
from engine.resources.build_gate import BuildGate
from engine.resources.meters import SystemMeters
from engine.system import SystemClock
from tests.bench.report import Report, ratio

SIZES = (0, 100, 500)
PER_AGENT = 10
AGENT = "for n in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; while :; do sleep 0.5; done"
"""A shell, nine sleepers, and one process after another."""


@contextmanager
def agents(count: int) -> Iterator[dict[AgentId, int]]:
    """So many process groups, by agent."""
    started = [subprocess.Popen(["sh", "-c", AGENT], start_new_session=True) for _ in range(count)]
    try:
        yield {AgentId(f"a{n}"): process.pid for n, process in enumerate(started)}
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def measured(sandboxes: dict[AgentId, int], rounds: int) -> tuple[list[float], list[float], int]:
    """CPU and wall milliseconds of each sample but the first two, and how many processes it saw."""
    clock = SystemClock()
    gate = BuildGate((), "auto", clock)
    cpu, wall, seen = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        meters = SystemMeters(Path(folder), clock, gate, sandboxes=lambda: sandboxes)
        for number in range(rounds + 2):
            began, spent = time.perf_counter(), time.process_time()
            sample = await meters.sample()
            uses = meters.uses()
            if number >= 2:
                cpu.append((time.process_time() - spent) * 1_000)
                wall.append((time.perf_counter() - began) * 1_000)
            seen = sample.processes
            assert len(uses) == len(sandboxes)
            await asyncio.sleep(0.6)  # so that processes have come and gone
    return cpu, wall, seen


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench meters")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args(words)
    report = Report("meters", ("processes", "CPU ms a sample", "at most", "wall ms", "% of a core"))
    shares: dict[int, float] = {}
    for size in SIZES:
        with agents(size // PER_AGENT) as sandboxes:
            time.sleep(1.0)  # until they have started their own
            cpu, wall, seen = asyncio.run(measured(sandboxes, arguments.rounds))
        shares[size] = statistics.median(cpu) / (SAMPLE_S * 1_000) * 100
        p50 = round(statistics.median(cpu), 2)
        report.rows.append((seen, p50, round(max(cpu), 2), round(statistics.median(wall), 2), round(shares[size], 3)))
        report.figures[f"cpu_ms_at_{size}"] = p50
        report.figures[f"core_percent_at_{size}"] = round(shares[size], 3)
    report.figures["processes"] = seen
    report.figures["sample_every_s"] = SAMPLE_S
    report.ratios["core_percent_at_500_of_2_percent"] = ratio(shares[500], 2.0)
    report.notes.append("memory, CPU, disk, locks and pressure, of each agent and of all; goal: under 2% of a core")
    report.show()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The sandbox: what one command costs at each level against a plain one, alone and many at once, and what a start is.

Run with `python -m tests.bench sandbox [--rounds N] [--at-once N]`; the ways take turns within one run, so that what
else the machine does falls on all of them. A plain command is the same shell started by the same process.

`--starts N` measures only N sandboxes that start at once: when their first commands have ended, the CPU time of a start
with one command and the end, and the memory that stays for each agent.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.ports.protocols import Workspace
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.resources import proc
from engine.sandbox.guarantees import Level
from tests.bench.report import Report, ratio
from tests.git import git, make_trunk

PLAIN = "plain"
COMMAND = "true"

Way = Callable[[int], Awaitable[None]]
"""Runs the command once; the number tells commands that run at once apart."""


def make_project(folder: Path) -> CommitId:
    git(folder, "init", "-q", "source")
    (folder / "source" / "a.txt").write_text("a\n")
    git(folder / "source", "add", "-A")
    git(folder / "source", "commit", "-qm", "first")
    make_trunk(folder / "source", folder / "trunk.git")
    return CommitId(git(folder / "source", "rev-parse", "HEAD"))


async def plain(number: int) -> None:
    shell = await asyncio.create_subprocess_exec("/bin/bash", "-c", COMMAND, stdin=subprocess.DEVNULL)
    assert await shell.wait() == 0


class Opened:
    """One level's copies, ready: their sandboxes are up."""

    def __init__(self, workspaces: WorkspacePool, copies: list[Workspace], start_ms: list[float]) -> None:
        self.workspaces = workspaces
        self.copies = copies
        self.start_ms = start_ms

    async def run(self, number: int) -> None:
        output = await self.copies[number].run(COMMAND, 60, lambda _: None)
        assert output.exit == 0, output


async def opened(folder: Path, base: CommitId, level: Level, count: int) -> Opened | None:
    """None where the level does not work. A start is a sandbox's first answer."""
    settings = SandboxSettings(level=level.value)
    try:
        workspaces = await open_workspaces(folder / level.value, folder / "trunk.git", settings, base)
    except SwarmError as error:
        sys.stderr.write(f"{level.value}: {error.message}\n")
        return None
    copies: list[Workspace] = []
    start_ms = []
    for number in range(count):
        copy = await workspaces.open(AgentId(f"bench-{number}"), base)
        began = time.perf_counter()
        await copy.read_file("a.txt")
        start_ms.append((time.perf_counter() - began) * 1_000)
        copies.append(copy)
    return Opened(workspaces, copies, start_ms)


async def together(way: Way, count: int) -> float:
    """Milliseconds of each of `count` commands that run at once, start to end of all divided by their number."""
    began = time.perf_counter()
    await asyncio.gather(*(way(number) for number in range(count)))
    return (time.perf_counter() - began) * 1_000 / count


async def measure(
    folder: Path, rounds: int, at_once: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds of one command by way, alone and with `at_once` at once; and of a sandbox's start."""
    base = await asyncio.to_thread(make_project, folder)
    levels = {level.value: await opened(folder, base, level, at_once) for level in Level}
    ways: dict[str, Way] = {PLAIN: plain, **{name: each.run for name, each in levels.items() if each is not None}}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    many: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for number in range(rounds + 1):
            for name, way in ways.items():
                singles = [await together(way, 1) for _ in range(10)]
                each = await together(way, at_once)
                if number:  # the first round warms up
                    alone[name] += singles
                    many[name].append(each)
    finally:
        for level in levels.values():
            if level is not None:
                await level.workspaces.close()
    return alone, many, {name: each.start_ms for name, each in levels.items() if each is not None}


class Started(Struct, frozen=True):
    """Sandboxes that were started at once: seconds until the first command of each ended, CPU seconds of all, and bytes
    of the processes that stay for each (PSS)."""

    first_s: list[float]
    cpu_s: float
    stays: list[int]


async def start_at_once(folder: Path, count: int) -> Started:
    base = await asyncio.to_thread(make_project, folder)
    workspaces = await open_workspaces(folder / "copies", folder / "trunk.git", SandboxSettings(), base)
    cpu = _cpu_s()
    first_s: list[float] = []
    began = time.perf_counter()
    copies = [await workspaces.open(AgentId(f"bench-{number}"), base) for number in range(count)]

    async def first(copy: Workspace) -> None:
        output = await copy.run(COMMAND, 600, lambda _: None)
        assert output.exit == 0, output
        first_s.append(time.perf_counter() - began)

    await asyncio.gather(*map(first, copies))
    known = proc.processes()
    stays = [
        sum(proc.proportional_memory(each.pid) or proc.own_memory(each.pid) for each in proc.tree(pid, known))
        for pid in workspaces.sandboxes().values()
    ]
    await workspaces.close()
    return Started(first_s, _cpu_s() - cpu, stays)


def _cpu_s() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _starts(folder: Path, count: int) -> Report:
    made = asyncio.run(start_at_once(folder, count))
    p50, most = statistics.median(made.first_s), max(made.first_s)
    cpu_ms, stays = 1_000 * made.cpu_s / count, statistics.mean(made.stays) / 1024
    report = Report("sandbox", ("started at once", "first command p50 s", "last s", "CPU ms each", "stays KiB each"))
    report.rows.append((count, round(p50, 2), round(most, 2), round(cpu_ms, 1), round(stays)))
    report.figures |= {
        "starts": count,
        "first_command_s_p50": round(p50, 3),
        "first_command_s_last": round(most, 3),
        "start_cpu_ms": round(cpu_ms, 2),
        "stays_kib": round(stays),
    }
    report.ratios |= {"first_command_p50_of_10_s": ratio(p50, 10.0), "stays_of_1536_kib": ratio(stays, 1536.0)}
    report.notes.append("CPU: the engine's part, the start, one command and the end; memory: proportional (PSS)")
    return report


def run(options: list[str]) -> Report:
    """Measure. `--rounds` is how often each way is taken, `--at-once` how many commands run together; `--starts` is
    how many sandboxes to start at once instead."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench sandbox")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--starts", type=int, default=0)
    arguments = parser.parse_args(options)
    folder = Path(tempfile.mkdtemp(prefix="bench-sandbox-", dir=os.environ.get("BENCH_DIR")))
    try:
        if arguments.starts:
            return _starts(folder, arguments.starts)
        alone, many, starts = asyncio.run(measure(folder, arguments.rounds, arguments.at_once))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = Report(
        "sandbox", ("command", "alone ms", "overhead ms", f"{arguments.at_once} at once, each ms", "sandbox start ms")
    )
    base = statistics.median(alone[PLAIN])
    crowd = statistics.median(many[PLAIN])
    report.figures["at_once"] = arguments.at_once
    for name, times in alone.items():
        one, each = statistics.median(times), statistics.median(many[name])
        start = statistics.median(starts[name]) if name in starts else None
        report.rows.append((name, round(one, 2), round(one - base, 2), round(each, 2), start and round(start, 1)))
        report.figures |= {f"{name}_ms_p50": round(one, 3), f"{name}_at_once_ms": round(each, 3)}
        if start is not None:
            report.figures[f"{name}_start_ms_p50"] = round(start, 2)
            report.ratios[f"{name}_ms_to_plain"] = ratio(one, base)
            report.ratios[f"{name}_at_once_ms_to_plain"] = ratio(each, crowd)
    report.notes.append("at once: wall time of all divided by their number; a sandbox starts once for each agent")
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

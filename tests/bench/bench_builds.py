"""Builds: agents that each build a C project in a copy of their own, all at once and through the build gate.

Run with `python -m tests.bench builds [--agents N] [--files N] [--rounds N]`. The ways take turns in one run: without
a gate and with it.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.resources.build_gate import BuildGate
from engine.resources.meters import SystemMeters
from engine.system import SystemClock
from tests.bench.report import Report, ratio
from tests.git import git, make_trunk

BUILD = "make -s -j2"
UNGATED = "1000"
"""Slots that hold nobody back."""
SAMPLE_S = 0.5
MAKEFILE = """
SOURCES := $(wildcard src/*.c)
program: $(SOURCES:.c=.o)
\tcc -o $@ $^
src/%.o: src/%.c
\tcc -O2 -c -o $@ $<
"""


class Way:
    """One way of building: seconds until all were done, until the half was, and what it cost."""

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.half_s: list[float] = []
        self.written: list[float] = []
        self.memory: list[float] = []
        self.waited_s: list[float] = []
        self.ran_s: list[float] = []
        self.locked_s: list[float] = []

    def median(self, name: str) -> float:
        return round(statistics.median(getattr(self, name)), 2)

    @property
    def contention(self) -> float:
        """As the engine defines it, over whole builds: percent of their time spent waiting."""
        waited, ran = sum(self.waited_s), sum(self.ran_s)
        return round(100 * (waited + sum(self.locked_s)) / (waited + ran), 1)


def make_project(folder: Path, files: int) -> CommitId:
    """A C project whose every file takes the compiler a while, and a trunk that borrows from it."""
    source = folder / "source"
    (source / "src").mkdir(parents=True)
    (source / "Makefile").write_text(MAKEFILE)
    (source / ".gitignore").write_text("*.o\nprogram\n")
    for number in range(files):
        body = "for (int i = 0; i < 9; i++) x = x * 1.5 + i / (x + 1); return x;"
        functions = [f"double f{number}_{n}(double x) {{ {body} }}" for n in range(60)]
        (source / "src" / f"part{number}.c").write_text("#include <math.h>\n" + "\n".join(functions) + "\n")
    (source / "src" / "main.c").write_text("int main(void) { return 0; }\n")
    git(folder, "init", "-q", "source")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "generated")
    make_trunk(source, folder / "trunk.git")
    return CommitId(git(source, "rev-parse", "HEAD"))


async def build(workspace: AgentWorkspace, gate: BuildGate, agent: str, way: Way, began: float) -> float:
    async with gate.pass_for(BUILD, agent, agent) as waited:
        entered = time.perf_counter()
        output = await workspace.run(BUILD, 600, lambda _: None)
        assert output.exit == 0, output
        way.waited_s.append(waited)
        way.ran_s.append(time.perf_counter() - entered)
    return time.perf_counter() - began


async def one_round(workspaces: WorkspacePool, base: CommitId, slots: str, agents: int, way: Way, tag: str) -> None:
    """Fresh copies, all sandboxes up, then all builds at once."""
    clock = SystemClock()
    gate = BuildGate(("make*",), slots, clock)
    meters = SystemMeters(Path(tempfile.gettempdir()), clock, gate, sandboxes=workspaces.sandboxes)
    copies = {f"{tag}-{n}": await workspaces.open(AgentId(f"{tag}-{n}"), base) for n in range(agents)}
    for copy in copies.values():
        await copy.run("true", 60, lambda _: None)
    written = memory = 0.0
    await meters.sample()
    began = last = time.perf_counter()
    builds = [asyncio.create_task(build(copy, gate, name, way, began)) for name, copy in copies.items()]
    while not all(each.done() for each in builds):
        await asyncio.wait(builds, timeout=SAMPLE_S)
        sample = await meters.sample()
        now = time.perf_counter()
        written += sample.disk_write * (now - last)
        memory = max(memory, sum(use.memory for use in meters.uses().values()))
        last = now
    ends = sorted(await asyncio.gather(*builds))
    way.wall_s.append(ends[-1])
    way.half_s.append(ends[len(ends) // 2])
    way.written.append(written / 2**20)
    way.memory.append(memory / 2**20)
    way.locked_s.append(gate.figures().lock_s)
    await asyncio.gather(*(copy.close() for copy in copies.values()))


async def compare(folder: Path, arguments: argparse.Namespace) -> tuple[dict[str, Way], str]:
    base = make_project(folder, arguments.files)
    workspaces = await open_workspaces(folder / "workspaces", folder / "trunk.git", SandboxSettings(), base)
    ways = {"all at once": Way(), "through the gate": Way()}
    try:
        for number in range(arguments.rounds):
            for (name, way), slots in zip(ways.items(), (UNGATED, "auto"), strict=True):
                await one_round(workspaces, base, slots, arguments.agents, way, f"{name.split()[-1]}{number}")
        return ways, f"{workspaces.level}, {workspaces.method}"
    finally:
        await workspaces.close()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench builds")
    parser.add_argument("--agents", type=int, default=16)
    parser.add_argument("--files", type=int, default=4, help="C files of the project")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        ways, how = asyncio.run(compare(Path(folder), arguments))
    report = Report(
        "builds", ("way", "all done s", "half done s", "MiB written", "MiB of memory", "contention %", "run s each")
    )
    for name, way in ways.items():
        each = round(statistics.mean(way.ran_s), 2)
        figures = [way.median(figure) for figure in ("wall_s", "half_s", "written", "memory")]
        report.rows.append((name, *figures, way.contention, each))
        key = "gated" if "gate" in name else "ungated"
        for figure, value in zip(("wall_s", "half_done_s", "mib_written", "mib_memory"), figures, strict=True):
            report.figures[f"{key}_{figure}"] = value
        report.figures[f"{key}_contention_percent"] = way.contention
    free, gated = ways.values()
    for name in ("wall_s", "half_s", "written", "memory"):
        report.ratios[f"gated_{name}_to_ungated"] = ratio(gated.median(name), free.median(name))
    report.figures |= {"agents": arguments.agents, "files": arguments.files}
    report.notes.append(
        f"{arguments.agents} agents, {arguments.files} C files each, `{BUILD}`; sandbox and copies: {how}"
    )
    report.show()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Builds: agents that each build a project in a copy of their own, all at once, from cold.

Run with `python -m tests.bench builds [--agents N] [--files N] [--rounds N] [--rust]`. The ways take turns in one run:
without a gate and with it, each from nothing; from what one check left, with that check's own build from nothing; and
for Rust in plain clones with one cache and one target folder for all.
"""

import argparse
import asyncio
import hashlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.resources.build_gate import BuildGate
from engine.resources.meters import SystemMeters
from engine.sandbox.inside.jobs import others
from engine.sandbox.inside.niceness import NICE
from engine.system import SystemClock
from tests.bench.bench_warm import generate_rust
from tests.bench.report import Report, ratio
from tests.git import git, make_trunk

UNGATED = "1000"
"""Slots that hold nobody back."""
GATED = ("make*", "cargo *")
SAMPLE_S = 0.5
LOCKS_S = 0.02
FREE, GATE, LAYERS, ONE_FOLDER = (
    "all at once",
    "through the gate",
    "from the check's layers",
    "plain, one cache for all",
)
MAKEFILE = """
SOURCES := $(wildcard src/*.c)
program: $(SOURCES:.c=.o)
\tcc -o $@ $^
src/%.o: src/%.c
\tcc -O2 -c -o $@ $<
"""


REGISTRY = "[source.crates-io]\nreplace-with = 'local'\n[source.local]\nlocal-registry = 'registry'\n"


class Project(Struct, frozen=True):
    """What is built: the command, the names of its output, and the commit."""

    build: str
    warm: tuple[str, ...]
    base: CommitId


class Way:
    """One way of building: seconds until all were done, until the half was, and what it cost.

    `lock_s`: the time that processes waited for file locks, all added up.
    """

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.half_s: list[float] = []
        self.written: list[float] = []
        self.memory: list[float] = []
        self.waited_s: list[float] = []
        self.ran_s: list[float] = []
        self.cpu_s: list[float] = []
        self.lock_s: list[float] = []
        self.locked_s: list[float] = []

    def median(self, name: str) -> float:
        values: list[float] = getattr(self, name)
        return round(statistics.median(values), 2)

    @property
    def contention(self) -> float:
        """As the engine defines it, over whole builds: percent of their time spent waiting."""
        waited, ran = sum(self.waited_s), sum(self.ran_s)
        return round(100 * (waited + sum(self.locked_s)) / (waited + ran), 1)


def make_c(source: Path, files: int) -> None:
    """A C project whose every file takes the compiler a while."""
    (source / "src").mkdir(parents=True)
    (source / "Makefile").write_text(MAKEFILE)
    (source / ".gitignore").write_text("*.o\nprogram\n")
    for number in range(files):
        body = "for (int i = 0; i < 9; i++) x = x * 1.5 + i / (x + 1); return x;"
        functions = [f"double f{number}_{n}(double x) {{ {body} }}" for n in range(60)]
        (source / "src" / f"part{number}.c").write_text("#include <math.h>\n" + "\n".join(functions) + "\n")
    (source / "src" / "main.c").write_text("int main(void) { return 0; }\n")


def make_rust(source: Path, packages: int) -> None:
    """Two crates that use a chain of `packages`, which come from a registry in a folder."""
    source.mkdir()
    generate_rust(source, 2)
    (source / ".cargo").mkdir()
    (source / ".cargo/config.toml").write_text(REGISTRY)
    for number in range(packages):
        name, uses = f"part{number}", [f"part{number - 1}"] if number else []
        functions = "\n".join(f"pub fn f{each}(x: u64) -> u64 {{ x * {number} + {each} }}" for each in range(200))
        needed = "".join(f"{use} = '1.0.0'\n" for use in uses)
        manifest = f"[package]\nname = '{name}'\nversion = '1.0.0'\nedition = '2021'\n[dependencies]\n{needed}"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, text in (("Cargo.toml", manifest), ("src/lib.rs", functions)):
                entry = tarfile.TarInfo(f"{name}-1.0.0/{path}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        folder = source / "registry/index/pa/rt"
        folder.mkdir(parents=True, exist_ok=True)
        (source / f"registry/{name}-1.0.0.crate").write_bytes(packed.getvalue())
        known = {"optional": False, "default_features": True, "features": [], "kind": "normal", "target": None}
        listed = {
            "name": name,
            "vers": "1.0.0",
            "deps": [{"name": use, "req": "^1.0.0", **known} for use in uses],
            "cksum": hashlib.sha256(packed.getvalue()).hexdigest(),
            "features": {},
            "yanked": False,
        }
        (folder / name).write_bytes(msgspec.json.encode(listed) + b"\n")
    with (source / "unit0/Cargo.toml").open("a") as manifest_file:
        manifest_file.write(f"part{packages - 1} = '1.0.0'\n")


def make_project(folder: Path, files: int, *, rust: bool) -> Project:
    """A project, and a trunk that borrows from it."""
    source = folder / "source"
    (make_rust if rust else make_c)(source, files)
    git(folder, "init", "-q", "source")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "generated")
    make_trunk(source, folder / "trunk.git")
    base = CommitId(git(source, "rev-parse", "HEAD"))
    return Project("cargo build --offline -j2", ("target",), base) if rust else Project("make -s -j2", ("*",), base)


def lock_waits() -> int:
    """How many processes below this one wait for a file lock."""
    ours = set(map(str, others(os.getpid())))
    lines = Path("/proc/locks").read_text().splitlines()
    return sum(" -> " in line and line.split("->")[1].split()[3] in ours for line in lines)


async def sample_locks(way: Way) -> None:
    """Until it is cancelled."""
    way.lock_s.append(0.0)
    last = time.perf_counter()
    while True:
        await asyncio.sleep(LOCKS_S)
        waiting, now = await asyncio.to_thread(lock_waits), time.perf_counter()
        way.lock_s[-1] += waiting * (now - last)
        last = now


async def build(workspace: AgentWorkspace, gate: BuildGate, agent: str, command: str, way: Way, began: float) -> float:
    async with gate.pass_for(command, agent, agent) as waited:
        entered = time.perf_counter()
        output = await workspace.run(command, 600, lambda _: None)
        assert output.exit == 0, output
        way.waited_s.append(waited)
        way.ran_s.append(time.perf_counter() - entered)
        way.cpu_s[-1] += output.cpu_s or 0.0
    return time.perf_counter() - began


async def one_round(
    workspaces: WorkspacePool, project: Project, slots: str, agents: int, way: Way, tag: str, *, check: bool
) -> None:
    """Fresh copies, all sandboxes up, then all builds at once. `check`: after one build from nothing that is kept."""
    clock = SystemClock()
    gate = BuildGate(GATED, slots, clock)
    meters = SystemMeters(Path(tempfile.gettempdir()), clock, gate, sandboxes=workspaces.sandboxes)
    way.cpu_s.append(0.0)
    locks = asyncio.create_task(sample_locks(way))
    before = 0.0
    if check:
        checked = await workspaces.open(AgentId(f"check-{tag}"), project.base, clean=True)
        before = await build(checked, gate, "check", project.build, way, time.perf_counter())
        await workspaces.keep_builds(checked)
    copies = {f"{tag}-{n}": await workspaces.open(AgentId(f"{tag}-{n}"), project.base) for n in range(agents)}
    for copy in copies.values():
        await copy.run("true", 60, lambda _: None)
    written = memory = 0.0
    await meters.sample()
    began = last = time.perf_counter()
    builds = [
        asyncio.create_task(build(copy, gate, name, project.build, way, began - before))
        for name, copy in copies.items()
    ]
    while not all(each.done() for each in builds):
        await asyncio.wait(builds, timeout=SAMPLE_S)
        sample = await meters.sample()
        now = time.perf_counter()
        written += sample.disk_write * (now - last)
        memory = max(memory, sum(use.memory for use in meters.uses().values()))
        last = now
    ends = sorted(await asyncio.gather(*builds))
    locks.cancel()
    way.wall_s.append(ends[-1])
    way.half_s.append(ends[len(ends) // 2])
    way.written.append(written / 2**20)
    way.memory.append(memory / 2**20)
    way.locked_s.append(gate.figures().lock_s)
    await asyncio.gather(*(copy.close() for copy in copies.values()))
    await workspaces.discard_builds()


async def plain_round(folder: Path, project: Project, agents: int, way: Way) -> None:
    """Clones without a sandbox, at a sandbox's priority, whose builds share one cargo home and one target folder."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        env = {**os.environ, "CARGO_HOME": f"{place}/home", "CARGO_TARGET_DIR": f"{place}/target"}
        clones = [Path(place) / str(number) for number in range(agents)]
        for clone in clones:
            git(folder, "clone", "-q", "source", str(clone))
        locks = asyncio.create_task(sample_locks(way))
        used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()

        async def one(clone: Path) -> float:
            ran = await asyncio.create_subprocess_exec(
                "nice", "-n", str(NICE), *project.build.split(), cwd=clone, env=env, stderr=subprocess.DEVNULL
            )
            assert await ran.wait() == 0
            return time.perf_counter() - began

        ends = sorted(await asyncio.gather(*map(one, clones)))
        locks.cancel()
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
    way.wall_s.append(ends[-1])
    way.half_s.append(ends[len(ends) // 2])
    way.ran_s += ends
    way.cpu_s.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)


async def compare(folder: Path, arguments: argparse.Namespace) -> tuple[dict[str, Way], str, Project]:
    project = make_project(folder, arguments.files, rust=arguments.rust)
    kept = BuildSettings(warm=project.warm)
    trunk = folder / "trunk.git"
    workspaces = await open_workspaces(folder / "workspaces", trunk, SandboxSettings(), project.base, build=kept)
    ways = {FREE: (UNGATED, Way()), GATE: ("auto", Way()), LAYERS: ("auto", Way())}
    plain = {ONE_FOLDER: Way()} if arguments.rust else {}
    try:
        for number in range(arguments.rounds):
            for key, (slots, way) in enumerate(ways.values()):
                tag = f"{key}-{number}"
                await one_round(workspaces, project, slots, arguments.agents, way, tag, check=key == len(ways) - 1)
            for way in plain.values():
                await plain_round(folder, project, arguments.agents, way)
        found = {name: way for name, (_, way) in ways.items()} | plain
        return found, f"{workspaces.level}, {workspaces.method}", project
    finally:
        await workspaces.close()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench builds")
    parser.add_argument("--agents", type=int, default=16)
    parser.add_argument("--files", type=int, default=4, help="C files of the project, or packages that it uses")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rust", action="store_true", help="crates that use packages from a registry, with cargo")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        ways, how, project = asyncio.run(compare(Path(folder), arguments))
    names = {FREE: "ungated", GATE: "gated", LAYERS: "layers", ONE_FOLDER: "one_folder"}
    columns = ("wall_s", "half_s", "cpu_s", "lock_s", "written", "memory")
    heads = ("all done s", "half done s", "CPU s", "waited for locks s", "MiB written", "MiB of memory")
    report = Report("builds", ("way", *heads, "contention %", "run s each"))
    for name, way in ways.items():
        figures = {figure: way.median(figure) if getattr(way, figure) else None for figure in columns}
        contention = way.contention if way.waited_s else None
        report.rows.append((name, *figures.values(), contention, round(statistics.mean(way.ran_s), 2)))
        report.figures |= {f"{names[name]}_{figure}": value for figure, value in figures.items()}
        report.figures[f"{names[name]}_contention_percent"] = contention
    for name, base in ((GATE, FREE), (LAYERS, FREE), (LAYERS, GATE), (LAYERS, ONE_FOLDER)):
        for figure in columns if base in ways else ():
            if getattr(ways[base], figure):
                of = ratio(ways[name].median(figure), ways[base].median(figure))
                report.ratios[f"{names[name]}_{figure}_to_{names[base]}"] = of
    report.figures |= {"agents": arguments.agents, "files": arguments.files}
    what = "packages" if arguments.rust else "C files each"
    report.notes.append(
        f"{arguments.agents} agents, {arguments.files} {what}, `{project.build}`; sandbox and copies: {how}"
    )
    report.show()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

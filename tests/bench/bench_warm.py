"""Warm builds: the first build in a new workspace, from scratch and from the builds of the check.

Run with `python -m tests.bench warm [--units N] [--rounds N] [--rust]`, or on a project of your own, copied without its
`.git`: `--source FOLDER --build COMMAND --edit FILE [--warm NAME]…`. The ways alternate in one run.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from tests.bench.bench_workspaces import kilobytes
from tests.bench.report import Report, ratio
from tests.git import copy_commits, git, make_trunk

WAYS = ("from scratch", "from the check's builds", "from the check's builds, one file changed since")
COMPILED = re.compile(r"^\s*(?:cc|gcc|clang|Compiling)\b", re.MULTILINE)
"""A line that make or cargo prints for each compiler call."""
MAKEFILE = """
SOURCES := $(shell find . -name '*.c' -not -path './build/*')
build/all.a: $(SOURCES:./%.c=build/%.o)
\tar rc $@ $^
build/%.o: %.c
\t@mkdir -p $(@D)
\tcc -O1 -I. -Iinclude -MMD -c -o $@ $<
-include $(shell find build -name '*.d' 2>/dev/null)
"""
CARGO = "[workspace]\nresolver = '2'\nmembers = ['unit*']\n"


class Subject(Struct, frozen=True):
    """A project to build: its build command, the file that a landing changes, and the line it adds."""

    build: str
    edit: str
    line: str
    warm: tuple[str, ...] = BuildSettings().warm


class Took:
    """For each way: seconds and compiler calls of each first build, and the KB that it adds to the workspace."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        self.calls: dict[str, list[float]] = {way: [] for way in WAYS}
        self.kb: dict[str, list[float]] = {way: [] for way in WAYS}
        self.keep_ms: list[float] = []


def generate_c(folder: Path, units: int) -> Subject:
    """`units` C files that take some time to compile, with one header that all of them include."""
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / ".gitignore").write_text("build/\n")
    (folder / "include").mkdir()
    (folder / "include/all.h").write_text("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
    body = "for (int i = 0; i < 9; i++) x = x * 1.5 + i / (x + 1); return x;"
    for number in range(units):
        part = folder / f"part{number % 10}"
        part.mkdir(exist_ok=True)
        functions = "\n".join(f"double f{number}_{each}(double x) {{ {body} }}" for each in range(20))
        (part / f"unit{number}.c").write_text(f'#include "all.h"\n{functions}\n')
    return Subject("make -j2", "part0/unit0.c", "int added;\n")


def generate_rust(folder: Path, units: int) -> Subject:
    """A Cargo workspace of `units` crates, each of which uses the one before."""
    (folder / "Cargo.toml").write_text(CARGO)
    (folder / ".gitignore").write_text("target/\n")
    for number in range(units):
        crate = folder / f"unit{number}"
        (crate / "src").mkdir(parents=True)
        before = f"unit{number - 1} = {{ path = '../unit{number - 1}' }}\n" if number else ""
        text = f"[package]\nname = 'unit{number}'\nversion = '0.1.0'\nedition = '2021'\n[dependencies]\n{before}"
        (crate / "Cargo.toml").write_text(text)
        used = f"unit{number - 1}::f0(x)" if number else "x"
        functions = "\n".join(f"pub fn f{each}(x: u64) -> u64 {{ {used} + {each} }}" for each in range(50))
        (crate / "src/lib.rs").write_text(functions + "\n")
    return Subject("cargo build --offline", f"unit{units - 1}/src/lib.rs", "pub fn added() {}\n")


def commit(source: Path, message: str) -> CommitId:
    git(source, "add", "-A")
    git(source, "commit", "-qm", message)
    return CommitId(git(source, "rev-parse", "HEAD"))


async def first_build(copies: WorkspacePool, at: CommitId, subject: Subject, took: Took, way: str, tag: str) -> None:
    """Open a workspace, start its sandbox, and time its first build."""
    copy = await copies.open(AgentId(f"warm-{tag}"), at, clean=way == WAYS[0])
    await copy.run("true", 60, lambda _: None)
    before = kilobytes(copy.copy.folder)
    began = time.perf_counter()
    lines: list[str] = []
    output = await copy.run(subject.build, 3_600, lines.append)
    took.seconds[way].append(time.perf_counter() - began)
    assert output.exit == 0, output
    took.calls[way].append(len(COMPILED.findall("".join(lines))))
    took.kb[way].append(kilobytes(copy.copy.folder) - before)
    await copy.close()


async def measure(folder: Path, subject: Subject, rounds: int) -> tuple[Took, str]:
    source = folder / "source"
    git(folder, "init", "-q", "source")
    base = commit(source, "as it is")
    make_trunk(source, folder / "trunk.git")
    build = BuildSettings(warm=subject.warm)
    copies = await open_workspaces(folder / "workspaces", folder / "trunk.git", SandboxSettings(), base, build=build)
    took = Took()
    try:
        for number in range(rounds):
            check = await copies.open(AgentId(f"check-{number}"), base)
            assert (await check.run(subject.build, 3_600, lambda _: None)).exit == 0
            began = time.perf_counter()
            await copies.keep_builds(check)
            took.keep_ms.append((time.perf_counter() - began) * 1_000)
            with (source / subject.edit).open("a") as file:
                file.write(subject.line)
            later = commit(source, "landed")
            copy_commits(source, folder / "trunk.git")
            for way, at in zip(WAYS, (base, base, later), strict=True):
                await first_build(copies, at, subject, took, way, f"{number}-{WAYS.index(way)}")
            base = later
        return took, f"{copies.level}, {copies.method}"
    finally:
        await copies.close()


def run(words: list[str]) -> Report:
    """Measure. `--units` is the number of files (or crates) of a generated project."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench warm")
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rust", action="store_true", help="generate a Cargo workspace instead of C files")
    parser.add_argument("--source", type=Path, help="a project of your own; gets a Makefile if it has none")
    parser.add_argument("--build", default="make -j2")
    parser.add_argument("--edit", default="", help="the file that a landing changes")
    parser.add_argument("--warm", action="append", default=[], help="names of builds to keep (default: the settings)")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="bench-warm-", dir=os.environ.get("BENCH_DIR")) as place:
        folder = Path(place)
        source = folder / "source"
        if arguments.source is not None:
            shutil.copytree(arguments.source, source, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            if not (source / "Makefile").exists():
                (source / "Makefile").write_text(MAKEFILE)
                (source / ".gitignore").write_text("build/\n")
            subject = Subject(arguments.build, arguments.edit, "/* landed */\n")
            if arguments.warm:
                subject = Subject(subject.build, subject.edit, subject.line, tuple(arguments.warm))
        else:
            source.mkdir()
            subject = (generate_rust if arguments.rust else generate_c)(source, arguments.units)
        took, how = asyncio.run(measure(folder, subject, arguments.rounds))
    report = Report("warm", ("first build in a workspace", "s", "compiler calls", "KB"))
    for way, key in zip(WAYS, ("cold", "warm", "changed"), strict=True):
        median = [round(statistics.median(values[way]), 2) for values in (took.seconds, took.calls, took.kb)]
        report.rows.append((way, *median))
        for name, value in zip(("s", "calls", "kb"), median, strict=True):
            report.figures[f"{key}_{name}"] = value
    report.figures["keep_ms"] = round(statistics.median(took.keep_ms), 1)
    for key, way in (("warm", WAYS[1]), ("changed", WAYS[2])):
        cold = statistics.median(took.seconds[WAYS[0]])
        report.ratios[f"cold_s_to_{key}"] = ratio(cold, statistics.median(took.seconds[way]))
    report.notes.append(f"`{subject.build}`; sandbox and copies: {how}; {arguments.rounds} rounds")
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

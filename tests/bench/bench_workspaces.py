"""Workspaces: what a copy of a big project takes to open, use, read and land, beside git's own ways to get one.

Run with `python -m tests.bench workspaces [--files N] [--rounds N]`; all figures are of one run on one machine, and
the ways take turns, so that what else the machine does falls on all of them.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.repo.workspaces import CopiedWorkspaces, open_workspaces
from engine.settings import SandboxSettings
from engine.types import AgentId, CommitId
from tests.bench.report import Report, ratio

IN_A_FOLDER = 25
CHANGED = 3
COPIES = 5
"""Copies for each one that git makes: they are the quicker ones, and a median wants many."""
GIT_WAYS = {
    "git clone": ("clone", "-q", "--no-hardlinks"),
    "git clone --shared": ("clone", "-q", "--shared"),
    "git worktree add": ("worktree", "add", "-q", "--detach"),
}


class Took:
    """Milliseconds by the name of what was done, and kilobytes on disk by way."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {}
        self.kb: dict[str, list[float]] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.ms.setdefault(name, []).append((time.perf_counter() - start) * 1_000)

    def p50(self, name: str) -> float:
        return round(statistics.median(self.ms[name]), 2)

    def size(self, name: str) -> float:
        return round(statistics.median(self.kb[name]), 1)


def git(where: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=where, check=True, capture_output=True, text=True).stdout.strip()


def make_project(folder: Path, files: int) -> CommitId:
    """A repo of so many small files in folders of folders, and a trunk that borrows from it."""
    source = folder / "source"
    for number in range(files):
        path = source / f"part{number // (IN_A_FOLDER * 20)}" / f"unit{number // IN_A_FOLDER}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" + f"def value():\n    return {number}\n" * 10)
    git(folder, "init", "-q", "source")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "generated")
    git(source, "repack", "-adq")
    git(folder, "clone", "-q", "--bare", "--shared", str(source), "trunk.git")
    return CommitId(git(source, "rev-parse", "HEAD"))


def kilobytes(folder: Path) -> float:
    """On disk, folders included; what is linked or mounted from elsewhere is not in it."""
    total = folder.lstat().st_blocks
    for where, folders, files in os.walk(folder):
        total += sum(os.lstat(os.path.join(where, name)).st_blocks for name in (*folders, *files))
    return total / 2


async def use(workspaces: CopiedWorkspaces, base: CommitId, number: int, took: Took, name: str) -> None:
    """One agent's work: a first command, a few changed files, what was changed, a commit."""
    with took.timed(f"{name}: open"):
        workspace = await workspaces.open(AgentId(f"bench-{number}"), base)
    took.kb.setdefault(name, []).append(kilobytes(workspace.copy.folder))
    with took.timed(f"{name}: first command"):
        await workspace.run("true", 60, lambda _: None)
    for change in range(CHANGED):
        await workspace.write_file(f"part0/unit{change}/file{change * IN_A_FOLDER}.py", f"{number}\n".encode())
    with took.timed(f"{name}: changed"):
        changed = await workspace.changed()
    assert len(changed) == CHANGED, changed
    with took.timed(f"{name}: commit"):
        await workspace.commit("bench\n")
    with took.timed(f"{name}: close"):
        await workspace.close()


def by_git(folder: Path, way: str, took: Took) -> None:
    target = folder / "copy"
    args = GIT_WAYS[way]
    with took.timed(f"{way}: open"):
        if args[0] == "clone":
            git(folder, *args, str(folder / "source"), str(target))
        else:
            git(folder / "source", *args, str(target))
    took.kb.setdefault(way, []).append(kilobytes(target))
    for change in range(CHANGED):
        (target / f"part0/unit{change}/file{change * IN_A_FOLDER}.py").write_text("changed\n")
    with took.timed(f"{way}: changed"):
        git(target, "status", "--porcelain")
    with took.timed(f"{way}: commit"):
        git(target, "commit", "-qam", "bench")
    with took.timed(f"{way}: close"):
        shutil.rmtree(target)
    if args[0] == "worktree":
        git(folder / "source", "worktree", "prune")


async def measure(folder: Path, files: int, rounds: int, took: Took) -> tuple[str, str]:
    """The sandbox level and the copy method that were used."""
    base = await asyncio.to_thread(make_project, folder, files)
    small = folder / "small"
    small.mkdir()
    small_base = await asyncio.to_thread(make_project, small, IN_A_FOLDER * (CHANGED + 1))
    settings = SandboxSettings()
    big = await open_workspaces(folder / "workspaces", folder / "trunk.git", settings, base)
    little = await open_workspaces(small / "workspaces", small / "trunk.git", settings, small_base)
    try:
        for number in range(rounds + 1):
            kept = took if number else Took()  # the first round makes the layers that all copies share
            if not number:
                with took.timed("first open of all"):
                    await (await big.open(AgentId("first"), base)).close()
            for copy in range(COPIES):
                await use(big, base, number * COPIES + copy, kept, "copy")
                await use(little, small_base, number * COPIES + copy, kept, "small copy")
            for way in GIT_WAYS if number else ():
                await asyncio.to_thread(by_git, folder, way, took)
    finally:
        await big.close()
        await little.close()
    return big.level, big.method


def run(options: list[str]) -> Report:
    """Measure. `--files` is how big the project is, `--rounds` how often each way is taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench workspaces")
    parser.add_argument("--files", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(options)
    took = Took()
    folder = Path(tempfile.mkdtemp(prefix="bench-workspaces-", dir=os.environ.get("BENCH_DIR")))
    try:
        level, method = asyncio.run(measure(folder, arguments.files, arguments.rounds, took))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    steps = ("open", "first command", "changed", "commit", "close")
    report = Report("workspaces", ("way", *(f"{step} ms" for step in steps), "KB"))
    for way in ("copy", "small copy", *GIT_WAYS):
        found = [took.p50(f"{way}: {step}") if f"{way}: {step}" in took.ms else None for step in steps]
        report.rows.append((way, *found, took.size(way)))
    report.figures = {
        "files": arguments.files,
        "level": level,
        "method": method,
        "copy_ms_p50": took.p50("copy: open"),
        "copy_kb": took.size("copy"),
        "first_open_ms": took.p50("first open of all"),
        **{f"{step.replace(' ', '_')}_ms_p50": took.p50(f"copy: {step}") for step in steps[1:]},
    }
    for way in GIT_WAYS:
        name = way.removeprefix("git ").replace(" --", "_").replace(" ", "_")
        report.figures |= {f"{name}_ms_p50": took.p50(f"{way}: open"), f"{name}_kb": took.size(way)}
        report.ratios[f"{name}_ms_to_copy"] = ratio(took.p50(f"{way}: open"), took.p50("copy: open"))
        report.ratios[f"{name}_kb_to_copy"] = ratio(took.size(way), took.size("copy"))
    for step in ("open", "changed", "commit"):
        report.ratios[f"{step}_ms_to_small_copy"] = ratio(took.p50(f"copy: {step}"), took.p50(f"small copy: {step}"))
    report.notes.append(f"copies: {method} at level {level}, {CHANGED} files changed; the small copy's project has")
    report.notes[-1] += f" {IN_A_FOLDER * (CHANGED + 1)} files, all others' has {arguments.files}"
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

"""Workspaces: the cost of opening, using and committing a workspace of a large project, compared with git's own ways.

Run with `python -m tests.bench workspaces [--files N] [--rounds N]`. All figures come from one run on one machine, and
the ways alternate, so that other load on the machine affects all of them.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.bench.report import Report, ratio
from tests.git import copy_commits, git, make_trunk

IN_A_FOLDER = 25
CHANGED = 3
AT_ONCE = (16, 200)
GIT_AT_ONCE = 8
"""Full checkouts at a time: enough to see how they slow each other down."""
LANDINGS = 5_000
COPIES = 5
"""Workspaces for each copy that git makes: they are faster, and a median needs many."""
GIT_WAYS = {
    "git clone": ("clone", "-q", "--no-hardlinks"),
    "git clone --shared": ("clone", "-q", "--shared"),
    "git worktree add": ("worktree", "add", "-q", "--detach"),
}


class Took:
    """Milliseconds by name of the step, and kilobytes on disk by way."""

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

    def p99(self, name: str) -> float:
        return round(statistics.quantiles(self.ms[name], n=100)[-1], 2)

    def size(self, name: str) -> float:
        return round(statistics.median(self.kb[name]), 1)


def make_project(folder: Path, files: int) -> CommitId:
    """A repository of `files` small files in nested folders, and a trunk that borrows from it."""
    source = folder / "source"
    for number in range(files):
        path = source / f"part{number // (IN_A_FOLDER * 20)}" / f"unit{number // IN_A_FOLDER}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" + f"def value():\n    return {number}\n" * 10)
    git(folder, "init", "-q", "source")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "generated")
    git(source, "repack", "-adq")
    make_trunk(source, folder / "trunk.git")
    return CommitId(git(source, "rev-parse", "HEAD"))


def kilobytes(folder: Path) -> float:
    """The size on disk, with folders, but without symlink targets and mounts."""
    total = folder.lstat().st_blocks
    for where, folders, files in os.walk(folder):
        total += sum(os.lstat(os.path.join(where, name)).st_blocks for name in (*folders, *files))
    return total / 2


async def use(workspaces: WorkspacePool, base: CommitId, number: int, took: Took, name: str) -> None:
    """One agent's work: a first command, a few changed files, a list of the changes, a commit."""
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


async def open_moved(workspaces: WorkspacePool, folder: Path, number: int, took: Took) -> None:
    """Open a workspace at a trunk that has moved by one small landing, as for nearly every task."""
    source = folder / "source"
    (source / f"part0/unit{number}/file{number * IN_A_FOLDER}.py").write_text(f"moved {number}\n")
    git(source, "commit", "-qam", "moved")
    copy_commits(source, folder / "trunk.git")
    tip = CommitId(git(source, "rev-parse", "HEAD"))
    with took.timed("copy, trunk moved: open"):
        workspace = await workspaces.open(AgentId(f"moved-{number}"), tip)
    size = kilobytes(workspace.copy.folder) + kilobytes(workspace.stack.folders[-1])
    took.kb.setdefault("copy, trunk moved", []).append(size)
    with took.timed("copy, trunk moved: first command"):
        await workspace.run("true", 60, lambda _: None)
    await workspace.close()


async def open_at_once(workspaces: WorkspacePool, base: CommitId, count: int, took: Took) -> None:
    """`count` agents open a workspace at the same time, and each runs its first command."""

    async def one(number: int) -> AgentWorkspace:
        with took.timed(f"copy, {count} at once: open"):
            workspace = await workspaces.open(AgentId(f"crowd-{number}"), base)
        with took.timed(f"copy, {count} at once: first command"):
            assert (await workspace.run("git status", 600, lambda _: None)).exit == 0
        return workspace

    opened = await asyncio.gather(*(one(number) for number in range(count)))
    await asyncio.gather(*(workspace.close() for workspace in opened))


def git_at_once(folder: Path, way: str, count: int, took: Took) -> int:
    """The same with git; returns how many failed."""
    args = GIT_WAYS[way]
    source = folder / "source"

    def one(number: int) -> bool:
        target = str(folder / f"copy{number}")
        whole = (*args, str(source), target) if args[0] == "clone" else (*args, target)
        with took.timed(f"{way}, {count} at once: open"):
            done = subprocess.run(["git", *whole], cwd=source, capture_output=True, check=False)
        return done.returncode != 0

    with ThreadPoolExecutor(count) as pool:
        failed = sum(pool.map(one, range(count)))
    for number in range(count):
        shutil.rmtree(folder / f"copy{number}", ignore_errors=True)
    if args[0] == "worktree":
        git(source, "worktree", "prune")
    return failed


async def full_copies(folder: Path, base: CommitId, rounds: int, took: Took) -> None:
    """Open full copies, for machines without overlays: new ones, and restored ones of an earlier agent."""
    settings = SandboxSettings(copies="checkout")
    workspaces = await open_workspaces(folder / "full", folder / "trunk.git", settings, base)
    try:
        for number in range(rounds + 1):
            with took.timed("full copy, new: open"):
                first = await workspaces.open(AgentId(f"full-{number}"), base)
            took.kb.setdefault("full copy, new", []).append(kilobytes(first.copy.folder))
            await first.run("mkdir build; seq 1000 > build/x; seq 9 > part0/unit0/file0.py", 60, lambda _: None)
            await first.close()
            with took.timed("full copy, restored: open"):
                second = await workspaces.open(AgentId(f"next-{number}"), base)
            assert await second.changed() == ()
            await second.close()
            workspaces.discard_spares()
    finally:
        await workspaces.close()


def land_many(trunk: Path, count: int) -> CommitId:
    """Move a trunk by so many small landings; returns its tip."""
    commits = [
        f"commit refs/heads/trunk\ncommitter S <s@localhost> {number} +0000\n"
        f"data <<E\nTask {number}\n\nWhy it is so.\n\nSwarm-Task: t{number}\nE\n"
        + ("" if number else "from refs/heads/trunk^0\n")
        + f"M 100644 inline part0/unit0/file{number % IN_A_FOLDER}.py\ndata <<E\nX = {number}\nE\n"
        for number in range(count)
    ]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=trunk, input="".join(commits).encode(), check=True)
    return CommitId(git(trunk, "rev-parse", "refs/heads/trunk"))


async def open_after_many_landings(folder: Path, rounds: int, took: Took) -> None:
    """Open workspaces whose git shows a commit for each of thousands of landings, also in the next process."""
    base = await asyncio.to_thread(make_project, folder, IN_A_FOLDER * (CHANGED + 1))
    trunk = folder / "trunk.git"
    git(trunk, "update-ref", "refs/heads/trunk", base)
    tip = await asyncio.to_thread(land_many, trunk, LANDINGS)
    for name in ("first", "next process"):
        workspaces = await open_workspaces(folder / "workspaces", trunk, SandboxSettings(), base)
        await workspaces.sweep(())
        try:
            with took.timed(f"{LANDINGS} landings, {name}: open"):
                await workspaces.open(AgentId(name), tip)
            for number in range(rounds * COPIES):
                with took.timed(f"{LANDINGS} landings: open"):
                    workspace = await workspaces.open(AgentId(f"long-{number}"), tip)
                with took.timed(f"{LANDINGS} landings: first command"):
                    assert (await workspace.run("git log --oneline -3", 60, lambda _: None)).exit == 0
                await workspace.close()
        finally:
            await workspaces.close()


async def measure(folder: Path, files: int, rounds: int, took: Took) -> tuple[str, str, int]:
    """Returns the sandbox level, the copy method, and how many of git's concurrent copies failed."""
    base = await asyncio.to_thread(make_project, folder, files)
    small = folder / "small"
    small.mkdir()
    small_base = await asyncio.to_thread(make_project, small, IN_A_FOLDER * (CHANGED + 1))
    settings = SandboxSettings()
    big = await open_workspaces(folder / "workspaces", folder / "trunk.git", settings, base)
    little = await open_workspaces(small / "workspaces", small / "trunk.git", settings, small_base)
    try:
        for number in range(rounds + 1):
            kept = took if number else Took()  # the first round makes the shared layers and is not counted
            if not number:
                with took.timed("first open of all"):
                    await (await big.open(AgentId("first"), base)).close()
            for copy in range(COPIES):
                await use(big, base, number * COPIES + copy, kept, "copy")
                await use(little, small_base, number * COPIES + copy, kept, "small copy")
            for way in GIT_WAYS if number else ():
                await asyncio.to_thread(by_git, folder, way, took)
        for number in range(rounds * COPIES):
            await open_moved(big, folder, number, took)
        for count in AT_ONCE:
            await open_at_once(big, base, count, took)
        failed = sum(
            [await asyncio.to_thread(git_at_once, folder, way, GIT_AT_ONCE, took) for way in list(GIT_WAYS)[1:]]
        )
    finally:
        await big.close()
        await little.close()
    await full_copies(folder, base, rounds, took)
    (folder / "long").mkdir()
    await open_after_many_landings(folder / "long", rounds, took)
    return big.level, big.method, failed


def run(options: list[str]) -> Report:
    """Measure. `--files` is the size of the project, `--rounds` the number of repetitions."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench workspaces")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args(options)
    took = Took()
    folder = Path(tempfile.mkdtemp(prefix="bench-workspaces-", dir=os.environ.get("BENCH_DIR")))
    try:
        level, method, failed = asyncio.run(measure(folder, arguments.files, arguments.rounds, took))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    steps = ("open", "first command", "changed", "commit", "close")
    report = Report("workspaces", ("way", *(f"{step} ms" for step in steps), "KB"))
    crowds = [f"copy, {count} at once" for count in AT_ONCE]
    crowds += [f"{way}, {GIT_AT_ONCE} at once" for way in list(GIT_WAYS)[1:]]
    full = ("full copy, new", "full copy, restored")
    many = f"{LANDINGS} landings"
    landed = (many, f"{many}, first", f"{many}, next process")
    for way in ("copy", "copy, trunk moved", "small copy", *landed, *full, *GIT_WAYS, *crowds):
        found = [took.p50(f"{way}: {step}") if f"{way}: {step}" in took.ms else None for step in steps]
        report.rows.append((way, *found, took.size(way) if way in took.kb else None))
    report.figures = {
        "files": arguments.files,
        "level": level,
        "method": method,
        "copy_ms_p50": took.p50("copy: open"),
        "copy_kb": took.size("copy"),
        "first_open_ms": took.p50("first open of all"),
        **{f"{step.replace(' ', '_')}_ms_p50": took.p50(f"copy: {step}") for step in steps[1:]},
    }
    for what, way in (("moved", "copy, trunk moved"), ("anew", full[0]), ("up_to_date", full[1])):
        report.figures[f"{what}_ms_p50"] = took.p50(f"{way}: open")
    report.figures["moved_kb"] = took.size("copy, trunk moved")
    for count in AT_ONCE:
        report.figures[f"at_once_{count}_ms_p50"] = took.p50(f"copy, {count} at once: open")
        report.figures[f"at_once_{count}_ms_p99"] = took.p99(f"copy, {count} at once: open")
    report.figures["git_at_once_failed"] = failed
    report.ratios["up_to_date_ms_to_anew"] = ratio(took.p50(f"{full[1]}: open"), took.p50(f"{full[0]}: open"))
    for way in GIT_WAYS:
        name = way.removeprefix("git ").replace(" --", "_").replace(" ", "_")
        report.figures |= {f"{name}_ms_p50": took.p50(f"{way}: open"), f"{name}_kb": took.size(way)}
        report.ratios[f"{name}_ms_to_copy"] = ratio(took.p50(f"{way}: open"), took.p50("copy: open"))
        report.ratios[f"{name}_kb_to_copy"] = ratio(took.size(way), took.size("copy"))
    for step in ("open", "changed", "commit"):
        report.ratios[f"{step}_ms_to_small_copy"] = ratio(took.p50(f"copy: {step}"), took.p50(f"small copy: {step}"))
    report.notes.append(f"copies: {method} at level {level}, {CHANGED} files changed; the project has")
    report.notes[-1] += f" {arguments.files} files, for the small copy {IN_A_FOLDER * (CHANGED + 1)}"
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

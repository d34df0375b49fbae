"""Landing: from finished workspaces to acknowledged landings, compared with scripts that use git directly.

Run with `python -m tests.bench landing [--landings N] [--files N] [--landed N] [--workers N,N]`. All ways land the same
kinds of changes in one project, one way after the other: most change a file of their own, some a file that others
change too, in another line or in the same one (a merge conflict). The engine is real: workspaces, trunk, journal,
snapshot.
"""

import argparse
import asyncio
import copy
import gc
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil
from msgspec import structs

from engine.agents import landing, outcomes
from engine.agents.attempt import Attempt, MachineTrouble
from engine.agents.handoffs import engine_text
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.events import Draft
from engine.domain.settings import Settings
from engine.domain.types import (
    Agent,
    AgentId,
    AgentPath,
    CommitId,
    HandoffStatus,
    HandoffText,
    LandingState,
    ModelName,
    Role,
    RunId,
    Task,
    TaskId,
    TaskSpec,
)
from engine.journal.writer import SqliteJournal
from engine.orchestrator.swarm import Swarm
from engine.ports.protocols import LandResult, WorkspaceError
from engine.ports.world import World
from engine.repo.changes.change import Change
from engine.repo.git.objects import NewObjects
from engine.repo.git.pack_writer import pack_body, write_pack
from engine.repo.landing.group_merge import LandingRequest
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.runtime.host import Host
from engine.state.snapshot import Snapshot
from engine.system import SortableIds, SystemClock
from engine.tools.tool import Answer
from tests import simulated
from tests.bench.report import Report, ratio
from tests.engine.swarms import PROMPTS, TOOLBOX, Generous, OpenGate
from tests.git import IDENTITY, git
from tests.simulated.time import SimulatedClock

IN_A_FOLDER = 25
TASKS_OF_A_PLANNER = 100
CONFLICTING, BESIDE, NEW, GONE = 0.05, 0.05, 0.10, 0.02
"""Shares of the changes: the same line as another one, another line of the same file, a new file, a deleted file."""
CHECKED = 1_000
"""Landings whose outcome and tree are compared with git's own merge, besides all conflicts."""
MODEL = ModelName("rehearsal:load")


def path_of(number: int) -> str:
    return f"part{number // (IN_A_FOLDER * 20)}/unit{number // IN_A_FOLDER}/file{number}.py"


def content(number: int, edits: Sequence[tuple[int, str]] = ()) -> str:
    lines = [f"VALUE_{number} = {number}", *(f"def value_{line}(): return {line * number}" for line in range(30))]
    for line, text in edits:
        lines[line] = text
    return "\n".join(lines) + "\n"


def make_project(folder: Path, files: int) -> None:
    """Make a repository without a work tree: nobody reads one, and half a million files take minutes to write."""
    git(folder.parent, "init", "-q", "-b", "main", folder.name)
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=folder, stdin=subprocess.PIPE) as importer:
        assert importer.stdin is not None
        importer.stdin.write(b"commit refs/heads/main\ncommitter c <c@localhost> 0 +0000\ndata 10\ngenerated\n\n")
        for number in range(files):
            data = content(number).encode()
            importer.stdin.write(b"M 644 inline %s\ndata %d\n%s\n" % (path_of(number).encode(), len(data), data))
    assert importer.returncode == 0, "the project cannot be made"


class Work(msgspec.Struct, frozen=True):
    """One change: the new text of files by path (None: deleted)."""

    files: dict[str, str | None]


def changes(count: int, files: int, seed: int) -> list[Work]:
    """The changes of `count` tasks, in the order in which the tasks finish."""
    chance = random.Random(seed)
    contested = [files - 1 - number for number in range(max(1, files // 500))]
    shared = [files - len(contested) - 1 - number for number in range(max(1, files // 50))]
    own = list(range(files - len(shared) - len(contested)))
    chance.shuffle(own)
    made = []
    for number in range(count):
        kind = chance.random()
        if kind < CONFLICTING:
            made.append(Work({path_of(file := chance.choice(contested)): content(file, [(3, f"# by {number}")])}))
        elif kind < CONFLICTING + BESIDE:
            line = 6 + 2 * chance.randrange(12)
            made.append(Work({path_of(file := chance.choice(shared)): content(file, [(line, f"# line {line}")])}))
        else:
            file = own[number % len(own)]
            found: dict[str, str | None] = {path_of(file): content(file, [(9, f"# by {number}")])}
            if kind > 1 - NEW:
                found[path_of(file).replace(".py", f"_{number}.py")] = content(number)
            if NEW < 1 - kind < NEW + GONE:
                found = {path_of(file): None}
            made.append(Work(found))
    return made


def write(folder: Path, work: Work) -> None:
    for name, text in work.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
        elif path.exists():
            path.unlink()
        else:
            os.mknod(path, 0o020000, os.makedev(0, 0))  # a whiteout: how an overlay marks a deleted file


# --- with scripts ----------------------------------------------------------------------------------------------


def with_scripts(folder: Path, source: Path, works: list[Work], workers: int) -> dict[str, float | int]:
    """Each worker has a clone, and repeats `git commit`, `git pull --rebase` and `git push` until the push succeeds."""
    bare = folder / "with-scripts.git"
    git(folder, "clone", "-q", "--bare", str(source), str(bare))
    clones = []
    for number in range(workers):
        clones.append(folder / f"clone{number}")
        git(folder, "clone", "-q", "--shared", str(bare), str(clones[-1]))
    before = size_kb(bare)
    took: list[float] = []
    conflicts = 0
    remaining = iter(works)

    def land_remaining(clone: Path) -> None:
        nonlocal conflicts
        for work in remaining:
            write(clone, work)
            start = time.perf_counter()
            git(clone, "add", "-A")
            git(clone, "commit", "-qm", "change")
            while True:
                pull = ["git", *IDENTITY, "pull", "-q", "--rebase"]
                if subprocess.run(pull, cwd=clone, capture_output=True).returncode:
                    git(clone, "rebase", "--abort", check=False)
                    git(clone, "reset", "-q", "--hard", "origin/main")
                    conflicts += 1
                    break
                if not subprocess.run(["git", "push", "-q"], cwd=clone, capture_output=True).returncode:
                    break
            took.append(time.perf_counter() - start)

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(land_remaining, clones))
    return figures(took, time.perf_counter() - start, conflicts, size_kb(bare) - before)


# --- the engine ------------------------------------------------------------------------------------------------


class RecordingTrunk(GitTrunk):
    """The engine's trunk; records each change and its result."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[tuple[Change | None, CommitId, LandResult]] = []

    async def land(self, change: CommitId, message: str) -> LandResult:
        result = await super().land(change, message)
        self.seen.append((self.pending.get(change), change, result))
        return result


class TrunkWithoutGroups(RecordingTrunk):
    """Lands each change on its own, with git's own merge."""

    async def _land_group(self, tip: CommitId, requests: list[LandingRequest]) -> list[LandingRequest]:
        return requests


class Engine:
    """A run made of real parts, in the state when all workers have finished."""

    def __init__(self, swarm: Swarm, trunk: RecordingTrunk, workspaces: WorkspacePool, journal: SqliteJournal) -> None:
        self.swarm, self.trunk, self.workspaces, self.journal = swarm, trunk, workspaces, journal
        self.finished: list[tuple[TaskId, AgentToolContext]] = []
        self.took: list[float] = []
        self.opened_ms = 0.0

    @classmethod
    async def make(cls, folder: Path, source: Path, kind: type[RecordingTrunk]) -> "Engine":
        trunk = await kind.create(folder, await inspect_repo(source), RunId("r-1"))
        assert isinstance(trunk, RecordingTrunk)
        settings = Settings()
        workspaces = await open_workspaces(
            folder / "workspaces", trunk.git_dir, settings.sandbox, trunk.base, trunk.pending
        )
        journal = await SqliteJournal.open(folder / "journal.db")
        idle = simulated.world(SimulatedClock(), lambda *_: ModelError(ModelErrorKind.REFUSED, "nobody asks here"))
        world = World(
            clock=SystemClock(),
            ids=SortableIds(),
            journal=journal,
            trunk=trunk,
            workspaces=workspaces,
            models=idle.models,
            meters=idle.meters,
            gate=OpenGate(),
            governor=Generous(),
            checker=None,
        )
        return cls(Swarm(Host(world, settings, PROMPTS, TOOLBOX, Snapshot(), 1)), trunk, workspaces, journal)

    async def prepare(self, works: list[Work]) -> None:
        """Put each change into a workspace of its own at the newest trunk.

        Only the first workspace is opened. The others are copies of it that have another folder of changes.
        """
        swarm, tip = self.swarm, await self.trunk.tip()
        start = time.perf_counter()
        first = await self.workspaces.open(AgentId(f"at {tip}"), tip)
        self.opened_ms = 1_000 * (time.perf_counter() - start)
        if not swarm.snapshot.run:
            models = dict.fromkeys(map(str, Role), MODEL)
            swarm.record(Draft(e.RunCreated(RunId("r-1"), "", "main", self.trunk.base, "", models, "{}", "")))
        for number, work in enumerate(works):
            if number % TASKS_OF_A_PLANNER == 0:
                planner = AgentId(swarm.host.ids.new("a"))
                about = Agent(planner, AgentPath(f"root-{number}"), None, Role.PLANNER, MODEL, "plan")
                swarm.record(Draft(e.AgentSpawned(about), planner))
            task = Task(TaskId(swarm.host.ids.new("t")), TaskSpec(f"change {number}", "as said"), planner, 1)
            swarm.record(Draft(e.TaskQueued(task), planner, task.id))
            agent = Attempt.begin(swarm.host, task, MachineTrouble()).agent
            context = AgentToolContext(swarm.host, agent, tip, _refuse)
            workspace = copy.copy(first)
            changed = first.copy.folder / "changed" / str(number)
            workspace.copy = structs.replace(first.copy, changed=changed, stamps=None)
            write(changed, work)
            # Handing a conflict back to its agent is not timed: it is a cost of workspaces.
            workspace.read_file, workspace.advance = _no_file, _no_advance  # type: ignore[method-assign]
            context.opened = workspace
            self.finished.append((task.id, context))
        await swarm.durable(swarm.record(Draft(e.Warned("all have finished"))))

    async def land(self, count: int, workers: int) -> float:
        """Land the next `count` changes, `workers` at a time; returns the seconds until all is acknowledged."""
        remaining, self.finished, self.took = iter(self.finished[:count]), self.finished[count:], []

        async def land_remaining() -> None:
            swarm = self.swarm
            text = HandoffText(HandoffStatus.DONE, "Done as said, with a sentence or two about it.")
            for task, context in remaining:
                start = time.perf_counter()
                result, _ = await landing.land(swarm.host, swarm.snapshot.tasks[task], context, text)
                known = swarm.snapshot.tasks[task]
                if result.state in (LandingState.CONFLICTED, LandingState.REFUSED):
                    seq = swarm.record(*outcomes.failed(swarm.host, known, engine_text("in conflict")))
                else:
                    seq = swarm.record(*outcomes.landed(swarm.host, known, result))
                await swarm.durable(seq)
                self.took.append(time.perf_counter() - start)

        start = time.perf_counter()
        await asyncio.gather(*(land_remaining() for _ in range(workers)))
        return time.perf_counter() - start

    async def close(self) -> None:
        await self.workspaces.close()
        await self.journal.close()


async def _refuse(context: AgentToolContext, text: HandoffText) -> Answer:
    raise AssertionError("nobody hands off here")


async def _no_file(path: str) -> bytes:
    raise WorkspaceError(f"{path}: no such file or folder")


async def _no_advance(commit: CommitId, base: CommitId) -> None:
    pass


async def by_engine(
    folder: Path,
    source: Path,
    works: list[Work],
    workers: int,
    kind: type[RecordingTrunk],
    sample: int,
    *,
    landed: int = 0,
    alone: int = 0,
) -> dict[str, float | int]:
    """Land `works`: the first `landed` before the clock starts, the last `alone` one after the other."""
    await asyncio.to_thread(folder.mkdir)
    engine = await Engine.make(folder, source, kind)
    try:
        if landed:
            await engine.prepare(works[:landed])
            await engine.land(landed, 256)
        await engine.prepare(works[landed:])
        gc.collect()
        gc.freeze()  # the prepared workspaces belong to the bench, not to the engine
        before, count, seen = size_kb(engine.trunk.git_dir), len(works) - landed - alone, len(engine.trunk.seen)
        cpu = cpu_s()
        seconds = await engine.land(count, workers)
        cpu = cpu_s() - cpu
        conflicts = [each for _, _, each in engine.trunk.seen[seen:] if each.state is LandingState.CONFLICTED]
        found = figures(engine.took, seconds, len(conflicts), size_kb(engine.trunk.git_dir) - before)
        found["cpu_ms"] = 1_000 * cpu / count
        found["packs"] = sum(1 for _ in (engine.trunk.git_dir / "objects" / "pack").glob("*.pack"))
        if alone:
            cpu = cpu_s()
            await engine.land(alone, 1)
            found["alone_p50_ms"] = 1_000 * sorted(engine.took)[alone // 2]
            found["alone_cpu_ms"] = 1_000 * (cpu_s() - cpu) / alone
        found["opened_ms"] = engine.opened_ms
        commits = sum(1 for _, _, result in engine.trunk.seen if result.commit)
        assert commits, "nothing landed"
        history = git(engine.trunk.git_dir, "rev-list", "--count", "--no-merges", f"{engine.trunk.base}..trunk")
        assert int(history) == commits, (history, commits)
        found["checked"], found["wrong"] = await asyncio.to_thread(compare, engine, sample)
        git(engine.trunk.git_dir, "fsck", "--connectivity-only", "--no-dangling")
        return found
    finally:
        gc.unfreeze()
        await engine.close()


def compare(engine: Engine, sample: int) -> tuple[int, int]:
    """Merge some landings again with git's own merge; returns how many, and how many of them differ."""
    trunk = engine.trunk
    conflicted = [seen for seen in trunk.seen if seen[2].state is LandingState.CONFLICTED]
    others = [seen for seen in trunk.seen if seen[2].state is not LandingState.CONFLICTED]
    chosen = conflicted + random.Random(1).sample(others, min(sample, len(others)))
    pending = NewObjects(trunk.pending.store)
    for change, _, _ in chosen:
        if change is not None and change.objects is not None:
            pending.unwritten.update(change.objects.unwritten)
    if pending.unwritten:
        write_pack(trunk.git_dir / "objects" / "pack", *pack_body(pending), trunk.pending.store.new_hash)
    command = ("git", "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z")
    wrong = 0
    for _, commit, result in chosen:
        merge = subprocess.run([*command, result.base, commit], cwd=trunk.git_dir, check=False, capture_output=True)
        tree, *names = merge.stdout.decode().rstrip("\0").split("\0")
        if result.state is LandingState.CONFLICTED:
            wrong += merge.returncode != 1 or tuple(sorted(names)) != result.conflicts
        else:
            wrong += merge.returncode != 0 or tree != git(
                trunk.git_dir, "rev-parse", f"{result.commit or result.base}^{{tree}}"
            )
    return len(chosen), wrong


# --- results ---------------------------------------------------------------------------------------------------


def size_kb(folder: Path) -> float:
    found = subprocess.run(["du", "-sk", str(folder)], check=True, capture_output=True, text=True).stdout
    return float(found.split("\t")[0])


def cpu_s() -> float:
    """CPU seconds used by this process and all its children."""
    living = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(os.times()[:4]) + sum(times.user + times.system for times in living)


def figures(took: list[float], seconds: float, conflicts: int, kb: float) -> dict[str, float | int]:
    took = sorted(took)
    return {
        "landings": len(took),
        "per_s": len(took) / seconds,
        "p50_ms": 1_000 * took[len(took) // 2],
        "p99_ms": 1_000 * took[int(len(took) * 0.99)],
        "conflicts": conflicts,
        "kb_each": kb / max(1, len(took) - conflicts),
    }


def run(options: list[str]) -> Report:
    """Measure. `--workers` lists how many landings run at a time; the last number gets the most landings."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench landing")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--landings", type=int, default=10_000)
    parser.add_argument("--workers", default="16,256")
    parser.add_argument("--landed", type=int, default=0, help="landings before the measured ones")
    parser.add_argument("--alone", type=int, default=100, help="landings afterwards, with nobody else landing")
    parser.add_argument("--checked", type=int, default=CHECKED, help="landings compared with git, besides conflicts")
    parser.add_argument("--few", type=int, default=64, help="landings of the slow ways")
    parser.add_argument("--only", action="store_true", help="leave out the slow ways")
    arguments = parser.parse_args(options)
    folder = Path(tempfile.mkdtemp(prefix="bench-landing-", dir=os.environ.get("BENCH_DIR")))
    found: dict[str, dict[str, float | int]] = {}
    try:
        source = folder / "source"
        source.mkdir()
        make_project(source, arguments.files)
        few = changes(arguments.few, arguments.files, 1)
        sizes = [int(size) for size in arguments.workers.split(",")]
        if not arguments.only:
            found["pull --rebase, push; 16"] = with_scripts(folder, source, few, 16)
            found["merge-tree processes; 16"] = asyncio.run(
                by_engine(folder / "processes", source, few, 16, TrunkWithoutGroups, CHECKED)
            )
        for size in sizes:
            count = arguments.landings if size == sizes[-1] else max(arguments.landings // 5, arguments.few)
            works = changes(arguments.landed + count + arguments.alone, arguments.files, 2)
            landings = by_engine(
                *(folder / f"this-{size}", source, works, size, RecordingTrunk, arguments.checked),
                landed=arguments.landed,
                alone=arguments.alone,
            )
            found[name := f"this; {size}"] = asyncio.run(landings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    columns = (
        *("per_s", "landings", "p50_ms", "p99_ms", "conflicts", "kb_each", "cpu_ms", "packs"),
        *("alone_p50_ms", "alone_cpu_ms", "opened_ms", "checked", "wrong"),
    )
    report = Report("landing", ("way; at once", *columns))
    report.rows = [(name, *(figures.get(column) for column in columns)) for name, figures in found.items()]
    best = found[f"this; {sizes[-1]}"]
    report.figures = {"files": arguments.files, "landings_per_s": round(best["per_s"], 1)}
    report.figures |= {name: round(value, 2) for name, value in best.items() if name != "per_s"}
    for name, figures in found.items():
        report.ratios[f"landings_per_s_to_{name}"] = ratio(best["per_s"], figures["per_s"])
    report.notes.append("opened_ms: opening the first workspace there, after the landings that come first")
    report.notes.append("checked: landings compared with git merge-tree; wrong: those with another outcome or tree")
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

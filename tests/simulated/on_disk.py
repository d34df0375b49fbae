"""The second tier of the simulation: the real journal and trunk on a real disk, under the same seeds.

Models, workspaces, the clock and disk trouble are as in the first tier. Virtual time does not jump while a thread or a
process works, so the order of events differs between machines; the plan and the invariants depend only on the seed.
`python -m tests.simulated.exploring SEED --on-disk` shows one run.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pygit2

from engine.domain.errors import ErrorKind
from engine.domain.events import Event
from engine.domain.types import AgentId, CommitId, RunId, TaskId
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from engine.ports.protocols import LandResult
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.union_merge import UnionPaths
from engine.repo.source import inspect_repo
from engine.state.snapshot import Snapshot
from tests.engine.real_runs import make_repo
from tests.simulated.disk import Disk
from tests.simulated.journal import MemoryJournal
from tests.simulated.merge import Tree
from tests.simulated.models import Script, ScriptedModels
from tests.simulated.power import Power
from tests.simulated.resources import ScriptedChecker, SteadyEnvironment, SteadyMeters
from tests.simulated.time import CountingIds, SeededRandomness, SimulatedClock
from tests.simulated.trunk import Commit, Commits, MemoryTrunk
from tests.simulated.workspaces import Commands, MemoryWorkspaces
from tests.simulated.world import FILES, World

T = TypeVar("T")


# --- the journal ---------------------------------------------------------------------------------------------


class CrashingJournal(SqliteJournal):
    """The real journal. Power may fail just before or after an event is written, and the disk may refuse to write."""

    clock: SimulatedClock
    power: Power
    disk: Disk
    crash_seq: int | None = None

    async def _write(self, events: list[Event]) -> None:
        await self.power.needed()
        self.disk.write_as(ErrorKind.JOURNAL, "journal")
        with self.clock.waits_for_real_work():
            dies = self.crash_seq is not None and events[-1].seq >= self.crash_seq
            if not dies or events[-1].seq % 2:  # then it is on disk, but nobody knows
                await super()._write(events)
        if dies:
            self.power.fail()
        await self.power.needed()

    async def _skip_written(self) -> None:
        with self.clock.waits_for_real_work():
            await super()._skip_written()

    async def _write_checkpoint(self) -> None:
        with self.clock.waits_for_real_work():
            await super()._write_checkpoint()


class JournalOnDisk(MemoryJournal):
    """In a new folder for each process, so that the connection of a dead one can do no harm."""

    def __init__(self, folder: Path, life: int, clock: SimulatedClock, power: Power, disk: Disk) -> None:
        super().__init__(power, disk, lambda: 0.0)
        self.path = folder / f"life-{life}" / "journal.db"
        self.path.parent.mkdir(exist_ok=True)
        self._clock = clock
        self._crash_at: int | None = None
        self._inner: CrashingJournal | None = None

    async def open(self) -> None:
        with self._clock.waits_for_real_work():
            inner = await CrashingJournal.open(self.path)
            assert isinstance(inner, CrashingJournal)
            inner.on_failure = lambda error: self.on_failure(error)
        inner.clock, inner.power, inner.disk = self._clock, self._power, self._disk
        self._inner = inner

    @property
    def inner(self) -> CrashingJournal:
        assert self._inner is not None, "it is not open"
        return self._inner

    def left_to(self, later: "JournalOnDisk") -> None:
        """Give the next process what a kill leaves on the disk, with the beginning of an unfinished write."""
        for name in ("journal.db", "journal.db-wal"):
            if (old := self.path.with_name(name)).exists():
                shutil.copyfile(old, later.path.with_name(name))
        log = later.path.with_name("journal.db-wal")
        if log.exists():
            with log.open("ab") as file:
                file.write(os.urandom(2_000))

    def crash_after(self, seq: int) -> None:
        self.inner.crash_seq = seq

    def surviving(self) -> list[Event]:
        found: list[Event] = []

        async def read() -> None:
            reader = await JournalReader.open(self.path)
            found.extend([event async for event in reader.stream()])
            await reader.close()

        if self.path.exists():
            reading = threading.Thread(target=lambda: asyncio.run(read()))  # with its own event loop, in real time
            reading.start()
            reading.join()
        return found

    def append(self, events: Sequence[Event]) -> None:
        self.inner.append(events)

    def checkpoint(self, snapshot: Snapshot) -> None:
        self.inner.checkpoint(snapshot)

    async def durable(self, seq: int) -> None:
        await self._power.needed()
        await self.inner.durable(seq)
        await self._power.needed()

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        with self._clock.waits_for_real_work():
            found = [event async for event in self.inner.events(after)]
        for event in found:
            yield event

    async def agent_events(self, agent: AgentId) -> list[Event]:
        await self._power.needed()
        with self._clock.waits_for_real_work():
            return await self.inner.agent_events(agent)

    async def close(self) -> None:
        await self._power.needed()
        with self._clock.waits_for_real_work():
            await self.inner.close()


# --- the trunk -----------------------------------------------------------------------------------------------


class FromGit(dict[CommitId, Commit]):
    """Commits by id, read when they are needed."""

    def __init__(self, git_dir: Path) -> None:
        super().__init__()
        self._git_dir = git_dir

    def __missing__(self, commit: CommitId) -> Commit:
        repo = pygit2.Repository(str(self._git_dir))
        repo.odb.add_disk_alternate(str(self._git_dir / "unlanded"))
        found = repo[commit]
        assert isinstance(found, pygit2.Commit)
        files: dict[str, bytes] = {}
        _files(found.tree, "", files)
        parent = CommitId(str(found.parent_ids[0])) if found.parent_ids else None
        self[commit] = Commit(parent, files, found.message)
        return self[commit]


def _files(tree: pygit2.Tree, above: str, found: dict[str, bytes]) -> None:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            _files(entry, f"{above}{entry.name}/", found)
        elif isinstance(entry, pygit2.Blob):
            found[f"{above}{entry.name}"] = entry.data


class GitCommits(Commits):
    """The commits of simulated workspaces, written into the real repository of trunk."""

    def __init__(self, trunk: GitTrunk, tip: CommitId) -> None:
        super().__init__(FromGit(trunk.git_dir), tip, trunk.base)
        self._trunk = trunk

    def add(self, parent: CommitId | None, files: Tree, message: str) -> CommitId:
        assert parent is not None, "the first commit comes from the repo"
        old = self.made[parent].files
        changed = {path for path in old.keys() | files.keys() if old.get(path) != files.get(path)}
        contents = {path: Content(FILE, files[path]) if path in files else None for path in changed}
        commit = self._trunk.pending.build(parent, parent, contents, message)
        self.made[commit] = Commit(parent, dict(files), message)
        return commit


class TrunkOnDisk(MemoryTrunk):
    """The real trunk. A killed process gets no answer from it."""

    def __init__(self, inner: GitTrunk, commits: GitCommits, clock: SimulatedClock, power: Power, disk: Disk) -> None:
        super().__init__(commits, clock, power, disk, lambda: 0.0)
        self._inner = inner

    async def tip(self) -> CommitId:
        return await self._done(self._inner.tip)

    async def land(self, change: CommitId, message: str) -> LandResult:
        self._disk.write_as(ErrorKind.GIT, "objects")
        return await self._done(lambda: self._inner.land(change, message))

    async def merge(self, change: CommitId) -> LandResult:
        self._disk.write_as(ErrorKind.GIT, "objects")
        return await self._done(lambda: self._inner.merge(change))

    async def is_apart(self, change: CommitId, other: CommitId) -> bool:
        return await self._done(lambda: self._inner.is_apart(change, other))

    async def find_landed(self, *tasks: TaskId) -> dict[TaskId, CommitId]:
        return await self._done(lambda: self._inner.find_landed(*tasks))

    async def paths_of(self, commit: CommitId) -> tuple[str, ...]:
        return await self._done(lambda: self._inner.paths_of(commit))

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        return await self._done(lambda: self._inner.landed_since(commit))

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        return await self._done(lambda: self._inner.read_file(commit, path))

    async def diff(self, old: CommitId, new: CommitId, paths: Collection[str] = ()) -> str:
        return await self._done(lambda: self._inner.diff(old, new, paths))

    async def move_green(self, commit: CommitId) -> None:
        self._disk.write_as(ErrorKind.GIT, "objects")
        await self._done(lambda: self._inner.move_green(commit))

    async def take_back_green(self) -> None:
        self._disk.write_as(ErrorKind.GIT, "objects")
        await self._done(self._inner.take_back_green)

    async def publish(self) -> str:
        self._disk.write_as(ErrorKind.GIT, "objects")
        return await self._done(self._inner.publish)

    async def _done(self, work: Callable[[], Awaitable[T]]) -> T:
        await self._power.needed()
        with self._clock.waits_for_real_work():
            result = await work()
            self.commits.tip = await self._inner.tip()
        await self._power.needed()
        return result


# --- the world -----------------------------------------------------------------------------------------------


@dataclass
class WorldOnDisk(World):
    """A world whose journal and trunk are in `folder`."""

    folder: Path = field(default_factory=Path)
    life: int = 1
    union: UnionPaths = field(default_factory=UnionPaths)
    buried: list[asyncio.Task[Any]] = field(default_factory=list)

    async def open(self) -> None:
        while self.clock.working:  # wait for what a killed process has started
            await self.clock.sleep(0.01)
        with self.clock.waits_for_real_work():
            trunk = await GitTrunk.open(self.folder, union=self.union)
            tip = await trunk.tip()
        assert isinstance(self.journal, JournalOnDisk)
        await self.journal.open()
        self.commits = GitCommits(trunk, tip)
        self.trunk = TrunkOnDisk(trunk, self.commits, self.clock, self.power, self.disk)
        found = self.workspaces.on_disk
        shell = self.workspaces.shell
        self.workspaces = MemoryWorkspaces(self.commits, self.clock, self.power, self.disk, shell, found)
        self.checker = ScriptedChecker(self.checker.verdict, self.commits, self.clock, self.power)

    async def bury(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Cancel what waits for power. What git and SQLite have started continues, as after a real kill."""
        self.buried += tasks

    def restart(self, *, copies: bool = True) -> "WorldOnDisk":
        self.power.fail()
        later = _assemble(
            self.clock, self.randomness, self.ids, self.models.script, self.workspaces.shell, self.disk, self.folder,
            self.life + 1,
        )  # fmt: skip
        assert isinstance(self.journal, JournalOnDisk)
        assert isinstance(later.journal, JournalOnDisk)
        self.journal.left_to(later.journal)
        later.commits, later.buried, later.union = self.commits, self.buried, self.union
        found = self.workspaces.on_disk if copies else ()
        later.workspaces = MemoryWorkspaces(
            later.commits, self.clock, later.power, self.disk, self.workspaces.shell, found
        )
        return later


async def world_on_disk(
    folder: Path,
    clock: SimulatedClock,
    script: Script,
    *,
    seed: int,
    shell: Commands,
    disk: Disk,
    files: Tree = FILES,
    union: Sequence[str] = (),
) -> WorldOnDisk:
    """A new world in an empty folder. `union`: the files that may be merged by union."""
    repo = make_repo(folder / "repo", {path: text.decode() for path, text in files.items()})
    with clock.waits_for_real_work():
        await GitTrunk.create(folder, await inspect_repo(repo), RunId("r-1"))
    made = _assemble(clock, SeededRandomness(seed), CountingIds(), script, shell, disk, folder, 1)
    made.union = UnionPaths(union)
    return made


def _assemble(
    clock: SimulatedClock,
    randomness: SeededRandomness,
    ids: CountingIds,
    script: Script,
    shell: Commands,
    disk: Disk,
    folder: Path,
    life: int,
) -> WorldOnDisk:
    power = Power()
    jitter = SeededRandomness(int(randomness.random() * 2**32))
    commits = Commits()
    return WorldOnDisk(
        clock=clock,
        randomness=randomness,
        ids=ids,
        journal=JournalOnDisk(folder, life, clock, power, disk),
        commits=commits,
        trunk=MemoryTrunk(commits, clock, power, disk, lambda: 0.0),
        workspaces=MemoryWorkspaces(commits, clock, power, disk, shell),
        models=ScriptedModels(script, clock, power, lambda: 0.5 + jitter.random()),
        meters=SteadyMeters(power),
        checker=ScriptedChecker(lambda files: True, commits, clock, power),
        environment=SteadyEnvironment(power),
        power=power,
        disk=disk,
        folder=folder,
        life=life,
    )

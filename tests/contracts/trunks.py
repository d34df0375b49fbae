"""The trunks that the contract suites run against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.domain.commit_message import commit_message
from engine.domain.types import CommitId, RunId
from engine.ports.protocols import Trunk
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import UserRepo
from tests.simulated.disk import Disk
from tests.simulated.power import Power
from tests.simulated.time import SimulatedClock
from tests.simulated.trunk import Commits, MemoryTrunk

BASE = {"a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "b.txt": b"b\n", "sub/c.txt": b"c\n"}


Change = Callable[[CommitId, Mapping[str, bytes | None]], CommitId]


@dataclass
class Bench:
    """A trunk at BASE, and a way to make a change on one of its commits (None deletes)."""

    trunk: Trunk
    base: CommitId
    change: Change


async def git_bench(folder: Path) -> Bench:
    repo = UserRepo.make(folder / "repo", BASE)
    trunk = await GitTrunk.create(folder, await inspect_repo(repo.root), RunId("r-1"))
    # Changes are made in a clone and pushed, so that trunk finds their objects.
    clone = UserRepo(folder / "copy")
    repo.git("clone", "-q", str(trunk.git_dir), str(clone.root))

    def change(parent: CommitId, files: Mapping[str, bytes | None]) -> CommitId:
        clone.git("fetch", "-q", "origin")
        made = clone.change(parent, files)
        clone.git("push", "-q", "origin", f"{made}:refs/copies/{made}")
        return CommitId(made)

    return Bench(trunk, trunk.base, change)


async def memory_bench(_: Path) -> Bench:
    commits = Commits()
    commits.base = commits.tip = commits.add(None, BASE, "base")

    def change(parent: CommitId, files: Mapping[str, bytes | None]) -> CommitId:
        tree = {**commits.made[parent].files, **files}
        return commits.add(parent, {path: data for path, data in tree.items() if data is not None}, "change")

    clock = SimulatedClock()
    return Bench(MemoryTrunk(commits, clock, Power(), Disk(clock), lambda: 0.0), commits.base, change)


def message(task: str) -> str:
    return commit_message(f"do {task}", "", {"Swarm-Task": task, "Swarm-Agent": "a-1", "Swarm-Intent": "1"})

"""A process killed during many landings: every reported landing is on trunk, and trunk still accepts more."""

import asyncio
import subprocess
import sys
from pathlib import Path

from engine.domain.types import LandingState, RunId, TaskId
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import UserRepo

KILLED_AFTER = (1, 40, 130)
"""Landings that each process reports before it is killed."""


def test_reported_landings_survive_a_kill(tmp_path: Path) -> None:
    repo = UserRepo.make(tmp_path / "repo", {"hot": b"0\n"})
    folder = tmp_path / "run"
    folder.mkdir()

    async def make() -> GitTrunk:
        return await GitTrunk.create(folder, await inspect_repo(repo.root), RunId("r-1"))

    base = asyncio.run(make()).base
    reported: list[tuple[str, str]] = []
    for number in KILLED_AFTER:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.storm", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(number)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        assert all(lines), "it exited by itself"
        reported += [(commit, task) for commit, task in (line.split() for line in lines if line.endswith("\n"))]
    git = UserRepo(folder / "trunk.git").git
    line = git("rev-list", "--parents", f"{base}..trunk").split("\n")
    assert all(len(commit.split()) == 2 for commit in line), "one parent each"
    assert {commit for commit, _ in reported} <= {commit.split()[0] for commit in line}
    git("fsck", "--full", "--strict", "--no-dangling")

    async def land_more() -> None:
        trunk = await GitTrunk.open(folder)
        for commit, task in reported:
            assert await trunk.find_landed(TaskId(task)) == {TaskId(task): commit}
        change = trunk.pending.build(base, base, {"new": Content(FILE, b"n\n")}, "a change")
        assert (await trunk.land(change, "landed\n")).state is LandingState.MERGED

    asyncio.run(land_more())

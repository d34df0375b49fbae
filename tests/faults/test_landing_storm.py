"""A process killed in a storm of landings: whatever it was told had landed is on trunk, and trunk lands on."""

import asyncio
import subprocess
import sys
from pathlib import Path

from engine.domain.types import LandingState, RunId, TaskId
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.person import PersonRepo

KILLED_AFTER = (1, 40, 130)
"""Landings that each of the processes is told of before it is killed."""


def test_what_was_told_survives_a_kill(tmp_path: Path) -> None:
    repo = PersonRepo.make(tmp_path / "repo", {"hot": b"0\n"})
    folder = tmp_path / "run"
    folder.mkdir()

    async def make() -> GitTrunk:
        return await GitTrunk.create(folder, await inspect_repo(repo.root), RunId("r-1"))

    base = asyncio.run(make()).base
    told: list[tuple[str, str]] = []
    for number in KILLED_AFTER:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.storm", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(number)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        assert all(lines), "it ended by itself"
        told += [(commit, task) for commit, task in (line.split() for line in lines if line.endswith("\n"))]
    git = PersonRepo(folder / "trunk.git").git
    line = git("rev-list", "--parents", f"{base}..trunk").split("\n")
    assert all(len(commit.split()) == 2 for commit in line), "one parent each"
    assert {commit for commit, _ in told} <= {commit.split()[0] for commit in line}
    git("fsck", "--full", "--strict", "--no-dangling")

    async def go_on() -> None:
        trunk = await GitTrunk.open(folder)
        for commit, task in told:
            assert await trunk.find_landed(TaskId(task)) == commit
        change = trunk.pending.build(base, base, {"new": Content(FILE, b"n\n")}, "a change")
        assert (await trunk.land(change, "landed\n")).state is LandingState.MERGED

    asyncio.run(go_on())

"""Housekeeping: the size of a trunk's objects on disk over many landings, with and without the housekeeper.

Run with `python -m tests.bench housekeeping [--landings N] [--files N]`. Each landing is a small change to one file;
the trunk is reopened a hundred times, as when a run is resumed. Both ways land the same changes, one after the other.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from engine.domain.types import CommitId, LandingState, RunId
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.housekeeping import ROUND_EVERY, Housekeeper
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.bench.bench_landing import content, make_project, path_of
from tests.bench.report import Report, ratio
from tests.git import git

GROUP_SIZE = 32
STARTS = 100


async def land(folder: Path, landings: int, files: int, *, tidied: bool) -> list[tuple[int, float, int, int, float]]:
    """After each tenth of the landings: landings, MB on disk, packs, loose objects, seconds so far."""
    trunk = await GitTrunk.create(folder, await inspect_repo(folder.parent / "project"), RunId("r-1"))
    keeper = Housekeeper(trunk.git_dir)
    found: list[tuple[int, float, int, int, float]] = []
    since, tip, tidied_at, starts = time.perf_counter(), await trunk.tip(), 0, 0

    async def one(number: int, base: CommitId) -> None:
        text = content(number % files, [(number % 30 + 1, f"# by {number}")]).encode()
        change = trunk.pending.build(base, base, {path_of(number % files): Content(FILE, text)}, "change\n")
        result = await trunk.land(change, f"change {number}\n")
        assert result.state is LandingState.MERGED, result
        trunk.pending.release(change)

    for first in range(0, landings, GROUP_SIZE):
        if first // (landings // STARTS) > starts:
            starts += 1
            trunk = await GitTrunk.open(folder)
        await asyncio.gather(*(one(number, tip) for number in range(first, min(landings, first + GROUP_SIZE))))
        tip = await trunk.tip()
        done = min(landings, first + GROUP_SIZE)
        if tidied and done - tidied_at >= ROUND_EVERY:
            tidied_at = done
            await keeper.tidy()
        if done * 10 // landings > len(found):
            found.append((done, *disk_use(trunk.git_dir / "objects"), time.perf_counter() - since))
    git(trunk.git_dir, "fsck", "--connectivity-only", "--no-dangling")
    assert int(git(trunk.git_dir, "rev-list", "--count", "refs/heads/trunk")) == landings + 1
    return found


def disk_use(objects: Path) -> tuple[float, int, int]:
    """MB on disk, packs, loose objects."""
    blocks = 0
    for where, _, names in os.walk(objects):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # packs are joined at the same time
                blocks += (Path(where) / name).stat().st_blocks
    loose = sum(1 for _ in objects.glob("[0-9a-f][0-9a-f]/*"))
    return round(blocks / 2048, 1), len(list((objects / "pack").glob("*.pack"))), loose


def run(options: list[str]) -> Report:
    """Measure. `--landings` is the number of landings, `--files` the size of the project."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench housekeeping")
    parser.add_argument("--landings", type=int, default=50_000)
    parser.add_argument("--files", type=int, default=2_000)
    arguments = parser.parse_args(options)
    folder = Path(tempfile.mkdtemp(prefix="bench-housekeeping-", dir=os.environ.get("BENCH_DIR")))
    report = Report("housekeeping", ("way", "landings", "MB", "packs", "loose", "s"))
    ends: dict[str, tuple[int, float, int, int, float]] = {}
    try:
        make_project(folder / "project", arguments.files)
        for way, tidied in (("without housekeeping", False), ("with housekeeping", True)):
            (folder / way.replace(" ", "-")).mkdir()
            rows = asyncio.run(land(folder / way.replace(" ", "-"), arguments.landings, arguments.files, tidied=tidied))
            report.rows += [(way, *row) for row in rows]
            ends[way] = rows[-1]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    alone, tidy = ends["without housekeeping"], ends["with housekeeping"]
    report.figures = {
        "landings": arguments.landings,
        "files": arguments.files,
        "mb": tidy[1],
        "bytes_per_landing": round(tidy[1] * 2**20 / arguments.landings),
        "packs": tidy[2],
        "loose": tidy[3],
        "mb_left_alone": alone[1],
        "packs_left_alone": alone[2],
    }
    report.ratios = {"mb_to_left_alone": ratio(tidy[1], alone[1]), "s_to_left_alone": ratio(tidy[4], alone[4])}
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()

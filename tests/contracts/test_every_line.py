"""No landed line is lost silently: after many random edits from old bases, every line is accounted for."""

import asyncio
import random

import pytest

from engine.domain.types import CommitId, LandingState
from engine.ports.protocols import LandResult
from tests.contracts.trunks import Bench, message

FILES = ("one.txt", "sub/two.txt")
Lines = dict[str, list[str]]


def content(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


async def lines_at(bench: Bench, commit: CommitId) -> Lines:
    return {path: (await bench.trunk.read_file(commit, path) or b"").decode().splitlines() for path in FILES}


def edited(draw: random.Random, lines: Lines, name: str) -> tuple[Lines, set[str], set[str]]:
    """The lines after a few insertions, replacements and deletions; the lines added and the lines removed."""
    now = {path: list(each) for path, each in lines.items()}
    added: set[str] = set()
    gone: set[str] = set()
    for number in range(draw.randint(1, 4)):
        path = draw.choice(FILES)
        place = draw.randrange(len(now[path]))
        line = f"{name}-{number}"
        match draw.choice(("insert", "insert", "replace", "delete")):
            case "insert":
                now[path].insert(place, line)
                added.add(line)
            case "replace":
                gone.add(now[path][place])
                now[path][place] = line
                added.add(line)
            case _:
                gone.add(now[path].pop(place))
    return now, added - gone, gone - added


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_landed_line_stays_until_a_landed_change_that_saw_it_removes_it(bench: Bench, seed: int) -> None:
    draw = random.Random(seed)
    first = {path: [f"{path}:{number}" for number in range(60)] for path in FILES}
    result = await bench.trunk.land(
        bench.change(bench.base, {path: content(each) for path, each in first.items()}), message("t-0")
    )
    assert result.commit is not None
    known: list[tuple[CommitId, Lines]] = [(result.commit, first)]
    expected = {line for each in first.values() for line in each}
    counts = dict.fromkeys(LandingState, 0)
    for wave in range(4):
        changes = []
        for worker in range(4):  # each started from one of the last commits, and all land at the same time
            base, lines = draw.choice(known[-3:])
            now, added, gone = edited(draw, lines, f"w{wave}.{worker}")
            change = bench.change(base, {path: content(now[path]) for path in FILES if now[path] != lines[path]})
            changes.append((change, added, gone, f"t-{wave}-{worker}"))
        results: list[LandResult] = await asyncio.gather(
            *(bench.trunk.land(change, message(task)) for change, _, _, task in changes)
        )
        for result, (_, added, gone, _) in zip(results, changes, strict=True):
            counts[result.state] += 1
            if result.state is LandingState.MERGED:
                expected = (expected | added) - gone
            elif result.state is LandingState.CONFLICTED:
                assert result.conflicts, "a conflict names its files"
        tip = await bench.trunk.tip()
        lines = await lines_at(bench, tip)
        there = [line for each in lines.values() for line in each]
        assert sorted(there) == sorted(expected), "no line is lost, duplicated or invented"
        known.append((tip, lines))
    assert counts[LandingState.MERGED] >= 6, counts
    assert counts[LandingState.MERGED] + counts[LandingState.CONFLICTED] + counts[LandingState.EMPTY] == 16

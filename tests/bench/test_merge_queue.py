"""The merge queue that swarm-tui is compared with keeps a merge queue's promises."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.alternatives.merge_queue import Entry, MergeQueue, stopped
from tests.git import git

LOOKS = 6_000
"""At the queue, before a test gives up."""


def make_shared(folder: Path) -> Path:
    git(folder, "init", "-q", "-b", "main", "shared")
    shared = folder / "shared"
    (shared / "list.txt").write_text("first\n")
    git(shared, "add", "-A")
    git(shared, "commit", "-qm", "start")
    git(shared, "checkout", "-q", "--detach")
    return shared


def offered(shared: Path, title: str, file: str, text: str) -> Entry:
    """An entry made on the first commit of main."""
    git(shared, "checkout", "-q", "--detach", "--force", git(shared, "rev-list", "--max-parents=0", "main"))
    (shared / file).write_text(text)
    git(shared, "add", "-A")
    git(shared, "commit", "-qm", title)
    return Entry(title, git(shared, "rev-parse", "HEAD"))


async def serve(
    shared: Path, entries: list[Entry], passes: Callable[[set[str]], bool], batch: int, ahead: int
) -> tuple[MergeQueue, list[set[str]]]:
    """Let a queue deal with the entries; the files that main had at each of its tips."""
    states: list[set[str]] = []

    def files(commit: str) -> set[str]:
        return set(git(shared, "ls-tree", "--name-only", commit).split())

    async def check(commit: str) -> bool:
        await asyncio.sleep(0)
        return passes(files(commit))

    landed: list[Entry] = []

    def note(tip: str, entries: list[Entry]) -> None:
        states.append(files(tip))
        landed.extend(entries)

    queue = MergeQueue(shared, git(shared, "rev-parse", "main"), check, batch, ahead, note)
    for entry in entries:
        queue.add(entry)
    serving = asyncio.create_task(queue.run())
    for _ in range(LOOKS):
        await asyncio.sleep(0.01)
        if len(landed) + len(queue.returned) == len(entries) or serving.done():
            break
    await stopped(serving)
    return queue, states


@pytest.mark.parametrize(("batch", "ahead"), [(1, 1), (8, 1), (2, 3)])
async def test_the_branch_is_never_at_a_commit_that_fails_and_only_the_culprit_comes_back(
    tmp_path: Path, batch: int, ahead: int
) -> None:
    shared = make_shared(tmp_path)
    entries = [offered(shared, f"change {number}", f"file{number}", "x\n") for number in range(7)]

    def passes(files: set[str]) -> bool:
        return not {"file2", "file5"} <= files  # each alone is fine, both together are not

    queue, states = await serve(shared, entries, passes, batch, ahead)
    assert all(map(passes, states))
    assert [(entry.title, trouble) for entry, trouble in queue.returned] == [("change 5", "check")]
    assert states[-1] == {"list.txt", *(f"file{number}" for number in (0, 1, 2, 3, 4, 6))}


@pytest.mark.parametrize(("batch", "ahead"), [(1, 1), (8, 1), (1, 3)])
async def test_an_entry_that_conflicts_comes_back_when_what_it_conflicts_with_has_landed(
    tmp_path: Path, batch: int, ahead: int
) -> None:
    shared = make_shared(tmp_path)
    entries = [offered(shared, f"change {number}", "list.txt", f"changed by {number}\n") for number in range(2)]
    queue, _ = await serve(shared, entries, lambda files: True, batch, ahead)
    assert git(shared, "show", "main:list.txt") == "changed by 0"
    assert [(entry.title, trouble) for entry, trouble in queue.returned] == [("change 1", "conflict")]


async def test_a_batch_is_checked_once_if_it_passes(tmp_path: Path) -> None:
    shared = make_shared(tmp_path)
    entries = [offered(shared, f"change {number}", f"file{number}", "x\n") for number in range(4)]
    queue, states = await serve(shared, entries, lambda files: True, batch=8, ahead=1)
    assert (queue.checks, len(states)) == (1, 1)

"""Files that are merged without git are merged as git does, and many files can be."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.domain.types import CommitId, LandingState, RunId
from engine.repo.git.objects import NewObjects
from engine.repo.landing.group_merge import FileMerge, MergedFile
from engine.repo.landing.line_merge import merge_lines
from engine.repo.landing.merge import GitMerger
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import build_change, message
from tests.engine.repo.user_repo import UserRepo

CASES = 2_000
OLD = "".join(f"line {number}\n" for number in range(20)).encode()


def edited(chance: random.Random, lines: list[bytes], words: list[bytes]) -> list[bytes]:
    """Replace some runs of lines by new lines and by lines that occur elsewhere."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        start = chance.randrange(len(lines) + 1)
        end = min(len(lines), start + chance.choice((0, 0, 1, 1, 2, 5)))
        new = [b"new %d\n" % chance.randrange(10_000) for _ in range(chance.choice((0, 1, 2)))]
        come = [*new, *chance.choices(words, k=chance.choice((0, 0, 0, 0, 1)))]
        lines = [*lines[:start], *come, *lines[end:]]
    return lines


def case(chance: random.Random) -> tuple[bytes, bytes, bytes]:
    """Three versions of a text with few or many lines, of which few or many are equal."""
    words = [b"{\n", b"}\n", b"\n", b"\r\n", *(b"word %d\n" % number for number in range(chance.choice((1, 4, 40))))]
    old = chance.choices(words, k=chance.choice((2, 6, 15, 40, 200)))
    if chance.random() < 0.5:
        for _ in range(len(old) // 3):
            old[chance.randrange(len(old))] = b"once %d\n" % chance.randrange(10_000)
    if chance.random() < 0.1:
        old[-1] = old[-1].rstrip(b"\n")
    return b"".join(old), b"".join(edited(chance, old, words)), b"".join(edited(chance, old, words))


@pytest.mark.parametrize("seed", range(2))
async def test_git_merges_the_same_lines(seed: int, tmp_path: Path) -> None:
    repo = UserRepo.make(tmp_path / "repo", {"a": b"a\n"})
    trunk = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RunId("r-1"))
    new, chance = NewObjects(trunk.pending.store), random.Random(seed)
    expected: dict[bytes, bytes] = {}
    files = {}
    for number in range(CASES):
        texts = case(chance)
        if len(set(texts)) == 3 and (found := merge_lines(*texts)) is not None:
            path = b"f%d" % number
            files[path] = FileMerge(path, *(new.add(b"blob", text) for text in texts))
            expected[path] = found
    merger = GitMerger(trunk.git_dir, "sha1")
    merger.prepare()
    by_git = await merger.merge_files(trunk.base, files, new)
    wrong = [path for path, merged in by_git.items() if not merged.clean or merged.data != expected[path]]
    assert wrong == []
    assert len(expected) > CASES // 20, "many cases can be merged without git"


def line(number: int, text: bytes) -> bytes:
    return OLD.replace(b"line %d\n" % number, text)


def test_only_changes_with_a_line_between_them_are_merged() -> None:
    both = line(3, b"three\n").replace(b"line 9\n", b"nine\n")
    assert merge_lines(OLD, line(3, b"three\n"), line(9, b"nine\n")) == both
    assert merge_lines(OLD, line(9, b"nine\n"), line(3, b"three\n")) == both
    assert merge_lines(OLD, OLD + b"end", b"start\n" + OLD) == b"start\n" + OLD + b"end"
    assert merge_lines(OLD, line(3, b"three\n"), line(4, b"four\n")) is None, "adjacent lines"
    assert merge_lines(OLD, line(3, b"three\n"), line(3, b"drei\n")) is None
    assert merge_lines(OLD, line(3, b"line 12\n"), line(9, b"nine\n")) is None, "the line occurs twice"
    assert merge_lines(OLD, line(3, b"a\0b\n"), line(9, b"nine\n")) is None, "binary"


class RecordingMerger(GitMerger):
    """Records the paths of the files that git merges, and how often it does."""

    paths: list[bytes]
    calls = 0

    async def merge_files(
        self, tip: CommitId, files: Mapping[bytes, FileMerge], new: NewObjects
    ) -> dict[bytes, MergedFile]:
        self.calls += 1
        self.paths.extend(file.path for file in files.values())
        return await super().merge_files(tip, files, new)


async def test_landings_on_one_file_need_no_git_unless_attributes_apply(tmp_path: Path) -> None:
    repo = UserRepo.make(tmp_path / "repo", {"f": OLD, "d/f": OLD, "d/.gitattributes": b"f -merge\n"})
    created = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RunId("r-1"))
    merger = RecordingMerger(created.git_dir, "sha1")
    merger.paths = []
    trunk = await GitTrunk.open(tmp_path, merger=merger)
    for number in range(0, 20, 2):
        change = build_change(trunk, {"f": line(number, b"by %d\n" % number)})
        assert (await trunk.land(change, message(f"t-{number}"))).state is LandingState.MERGED
    assert merger.paths == []
    assert (await trunk.read_file(await trunk.tip(), "f") or b"").count(b"by ") == 10
    for number in (3, 9):
        result = await trunk.land(build_change(trunk, {"d/f": line(number, b"by\n")}), message(f"u-{number}"))
    assert result.state is LandingState.CONFLICTED
    assert merger.paths == [b"d/f"]


async def test_conflicts_in_one_file_need_one_git_process_and_end_as_if_alone(tmp_path: Path) -> None:
    files = {"f": OLD, "d/f": OLD, "d/.gitattributes": b"f conflict-marker-size=9\n"}
    repo = UserRepo.make(tmp_path / "repo", files)
    created = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RunId("r-1"))
    merger = RecordingMerger(created.git_dir, "sha1")
    merger.paths = []
    trunk = await GitTrunk.open(tmp_path, merger=merger)
    for path, processes, size in (("f", 1, 7), ("d/f", 4, 9)):
        changes = [build_change(trunk, {path: line(5, b"by %d\n" % number)}) for number in range(5)]
        assert (await trunk.land(changes[0], message(f"{path}-0"))).state is LandingState.MERGED
        merger.calls = 0
        at_once = await asyncio.gather(*(trunk.land(each, message("t")) for each in changes[1:]))
        assert merger.calls == processes, "one for each where attributes may depend on the path"
        for result, each in zip(at_once, changes[1:], strict=True):
            alone = await trunk.land(each, message("t"))
            assert (alone.state, alone.conflicts, alone.reason) == (result.state, (path,), result.reason)
            assert alone.state is LandingState.CONFLICTED
            contents = [await trunk.read_file(merged, path) for merged in (alone.merged, result.merged) if merged]
            assert contents[0] == contents[1] is not None
            assert b"<" * size + b" trunk\n" in (contents[0] or b"")

"""Merges that are made without git are those that git makes, and there are many of them."""

import random
from pathlib import Path

import pytest

from engine.domain.types import LandingState, RunId
from engine.repo.git.objects import NewObjects
from engine.repo.landing.group_merge import Question
from engine.repo.landing.line_merge import merged
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import build_change, message
from tests.engine.repo.person import PersonRepo

CASES = 2_000
OLD = "".join(f"line {number}\n" for number in range(20)).encode()


def edited(chance: random.Random, lines: list[bytes], words: list[bytes]) -> list[bytes]:
    """With some runs of lines replaced, by new ones and by such as stand elsewhere."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        start = chance.randrange(len(lines) + 1)
        end = min(len(lines), start + chance.choice((0, 0, 1, 1, 2, 5)))
        new = [b"new %d\n" % chance.randrange(10_000) for _ in range(chance.choice((0, 1, 2)))]
        come = [*new, *chance.choices(words, k=chance.choice((0, 0, 0, 0, 1)))]
        lines = [*lines[:start], *come, *lines[end:]]
    return lines


def case(chance: random.Random) -> tuple[bytes, bytes, bytes]:
    """Three texts of few lines or many, of which few or many are the same."""
    words = [b"{\n", b"}\n", b"\n", b"\r\n", *(b"word %d\n" % number for number in range(chance.choice((1, 4, 40))))]
    old = chance.choices(words, k=chance.choice((2, 6, 15, 40, 200)))
    if chance.random() < 0.5:
        for _ in range(len(old) // 3):
            old[chance.randrange(len(old))] = b"once %d\n" % chance.randrange(10_000)
    if chance.random() < 0.1:
        old[-1] = old[-1].rstrip(b"\n")
    return b"".join(old), b"".join(edited(chance, old, words)), b"".join(edited(chance, old, words))


@pytest.mark.parametrize("seed", range(2))
async def test_they_are_gits(seed: int, tmp_path: Path) -> None:
    repo = PersonRepo.make(tmp_path / "repo", {"a": b"a\n"})
    trunk = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RunId("r-1"))
    new, chance = NewObjects(trunk.pending.store), random.Random(seed)
    expected: dict[bytes, bytes] = {}
    questions = []
    for number in range(CASES):
        texts = case(chance)
        if len(set(texts)) == 3 and (found := merged(*texts)) is not None:
            path = b"f%d" % number
            questions.append(Question(path, *(new.add(b"blob", text) for text in texts)))
            expected[path] = found
    answers = await trunk._merger.merge_contents(trunk.base, questions, new)
    wrong = [path for path, answer in answers.items() if not answer.clean or answer.data != expected[path]]
    assert wrong == []
    assert len(expected) > CASES // 20, "a fair share is certain"


def line(number: int, text: bytes) -> bytes:
    return OLD.replace(b"line %d\n" % number, text)


def test_what_lies_apart_is_merged_and_nothing_else_is() -> None:
    both = line(3, b"three\n").replace(b"line 9\n", b"nine\n")
    assert merged(OLD, line(3, b"three\n"), line(9, b"nine\n")) == both
    assert merged(OLD, line(9, b"nine\n"), line(3, b"three\n")) == both
    assert merged(OLD, OLD + b"end", b"start\n" + OLD) == b"start\n" + OLD + b"end"
    assert merged(OLD, line(3, b"three\n"), line(4, b"four\n")) is None, "they touch"
    assert merged(OLD, line(3, b"three\n"), line(3, b"drei\n")) is None
    assert merged(OLD, line(3, b"line 12\n"), line(9, b"nine\n")) is None, "the line stands elsewhere as well"
    assert merged(OLD, line(3, b"a\0b\n"), line(9, b"nine\n")) is None, "no text"


async def test_landings_on_one_file_need_no_git_unless_attributes_have_a_say(tmp_path: Path) -> None:
    repo = PersonRepo.make(tmp_path / "repo", {"f": OLD, "d/f": OLD, "d/.gitattributes": b"f -merge\n"})
    trunk = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RunId("r-1"))
    asked: list[bytes] = []
    ask = trunk._merger.merge_contents

    async def counted(tip, questions, new):  # type: ignore[no-untyped-def]
        asked.extend(question.path for question in questions)
        return await ask(tip, questions, new)

    trunk._merger.merge_contents = counted  # type: ignore[method-assign]
    for number in range(0, 20, 2):
        change = build_change(trunk, {"f": line(number, b"by %d\n" % number)})
        assert (await trunk.land(change, message(f"t-{number}"))).state is LandingState.MERGED
    assert asked == []
    assert (await trunk.read_file(await trunk.tip(), "f") or b"").count(b"by ") == 10
    for number in (3, 9):
        result = await trunk.land(build_change(trunk, {"d/f": line(number, b"by\n")}), message(f"u-{number}"))
    assert result.state is LandingState.CONFLICTED
    assert asked == [b"d/f"]

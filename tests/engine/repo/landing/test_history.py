"""Trunk's history answers for every landing, in a few bytes for each."""

import sys

import pytest

from engine.domain.types import CommitId, TaskId
from engine.repo.git import packed_ids
from engine.repo.git.packed_ids import CommitMap
from engine.repo.landing.history import TrunkHistory


def commit(number: int) -> CommitId:
    return CommitId(f"{number:040x}")


@pytest.fixture
def landed(monkeypatch: pytest.MonkeyPatch) -> TrunkHistory:
    monkeypatch.setattr(packed_ids, "RECENT", 10)
    made = TrunkHistory(None, commit(0))  # type: ignore[arg-type]
    for number in range(1, 200):
        made.append(commit(number), f"change\n\nSwarm-Task: t-{number}\n")
    return made


def test_every_landing_is_found_by_its_task_and_by_its_commit(landed: TrunkHistory) -> None:
    for number in range(1, 200):
        assert landed.commit_of(TaskId(f"t-{number}")) == commit(number)
        assert commit(number) in landed
    assert commit(0) in landed
    assert commit(200) not in landed
    assert landed.commit_of(TaskId("t-200")) is None
    assert landed.since(commit(150)) == [commit(number) for number in range(151, 200)]
    assert landed.since(commit(199)) == []
    assert landed.since(commit(200)) is None
    landed.append(commit(7), "again")
    assert len(landed) == 200


def test_a_task_that_landed_twice_has_its_last_commit(landed: TrunkHistory) -> None:
    landed.append(commit(300), "again\n\nSwarm-Task: t-3\n")
    assert landed.commit_of(TaskId("t-3")) == commit(300)
    for number in range(301, 330):
        landed.append(commit(number), "more\n\nSwarm-Task: t-x\nSwarm-Task: t-y\n")
    assert landed.commit_of(TaskId("t-3")) == commit(300)
    assert landed.commit_of(TaskId("t-x")) is None


def test_a_landing_takes_a_few_dozen_bytes() -> None:
    made = TrunkHistory(None, commit(0))  # type: ignore[arg-type]
    for number in range(1, 3 * packed_ids.RECENT + 1):
        made.append(commit(number), f"change\n\nSwarm-Task: t-{number}\n")
    kept = [each for positions in (made._commits, made._tasks) for pair in positions._older for each in pair]
    assert sum(map(sys.getsizeof, kept)) + len(made._order) < 60 * len(made)


def test_each_commit_is_found_by_what_it_belongs_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_ids, "RECENT", 10)
    known = CommitMap()
    for number in range(100):
        known.add(commit(number), commit(1_000 + number))
    known.add(commit(3), commit(5))
    assert known.get(commit(3)) == commit(5)
    assert known.get(commit(99)) == commit(1_099)
    assert known.get(commit(100)) is None
    assert commit(4) in known
    assert commit(100) not in known

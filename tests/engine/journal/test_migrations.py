"""Journals of every released version can be read without a change, show the same state, and can be resumed."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.domain import events as e
from engine.domain.types import LandingState, TaskState
from engine.journal.connection import open_for_writing
from engine.journal.queries import JournalReader
from engine.journal.run_row import glance
from engine.journal.schema import STEPS, VERSION
from engine.journal.writer import SqliteJournal
from engine.reports.json_lines import snapshot_line
from engine.state.snapshot import Snapshot
from tests.engine.journal.freeze import RELEASED, freeze
from tests.engine.journal.snapshots import read_snapshot

JOURNALS = sorted(RELEASED.glob("*.db"))


@pytest.fixture(params=JOURNALS, ids=lambda path: path.stem)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    frozen: Path = request.param
    shutil.copy(frozen.with_suffix(".json"), tmp_path / "journal.json")
    return Path(shutil.copy(frozen, tmp_path / "journal.db"))


def check_state(path: Path, snapshot: Snapshot) -> None:
    """Every field that the older version had keeps its value; but a task without a commit has not landed."""
    was = counted_right(msgspec.json.decode((path.parent / "journal.json").read_bytes()))
    now = msgspec.json.decode(snapshot_line(snapshot))
    assert known(now, was) == was


def counted_right(was: dict[str, Any]) -> dict[str, Any]:
    """The state that an older version showed, without counting tasks that changed nothing as landed."""
    empty = [task for task in was["tasks"].values() if task["state"] == "landed" and task["commit"] is None]
    for task in empty:
        task["state"] = "unchanged"
        was["landed_times"].remove(task["ended_at"])
    if empty:
        was["task_counts"] |= {"landed": was["task_counts"]["landed"] - len(empty), "unchanged": len(empty)}
    return was


def known(now: object, was: object) -> object:
    """The present value without the fields that a later version added."""
    if isinstance(now, dict) and isinstance(was, dict):
        return {name: known(now[name], was[name]) for name in was if name in now}
    if isinstance(now, list) and isinstance(was, list) and len(now) == len(was):
        return [known(one, other) for one, other in zip(now, was, strict=True)]
    return now


def content(path: Path) -> bytes:
    return path.read_bytes()


def schema(path: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(path) as db:
        return sorted(db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def test_there_is_a_journal_of_a_released_version() -> None:
    assert [path.stem for path in JOURNALS][:1] == ["0.1.0"]


async def test_reading_an_older_journal_does_not_change_it(released: Path) -> None:
    before = content(released)
    check_state(released, await read_snapshot(released))
    run = glance(released)
    assert run is not None
    assert run.last_seq == (await read_snapshot(released)).seq
    reader = await JournalReader.open(released)
    assert len(await reader.events(limit=5)) == 5
    assert [event async for event in reader.stream()][-1].seq == run.last_seq
    await reader.close()
    assert content(released) == before


async def test_tasks_that_changed_nothing_do_not_count_as_landed_in_an_older_journal(released: Path) -> None:
    snapshot = await read_snapshot(released)
    commits = sum(task.commit is not None for task in snapshot.tasks.values())
    empty = snapshot.landing_counts[LandingState.EMPTY]
    counts = (snapshot.task_counts[TaskState.LANDED], snapshot.task_counts[TaskState.UNCHANGED])
    assert counts == (commits, empty)
    assert empty, "the journal has such tasks"
    run = glance(released)
    assert run is not None
    assert (run.landed, run.unchanged) == counts
    await (await open_for_writing(released)).close()
    with sqlite3.connect(released) as db:
        assert db.execute("SELECT landed, unchanged FROM runs").fetchone() == counts
        assert db.execute("SELECT count(*) FROM tasks WHERE state = 'landed'").fetchone() == (commits,)
    migrated = glance(released)
    assert migrated is not None
    assert (migrated.landed, migrated.unchanged) == counts


async def test_resuming_a_run_migrates_its_journal(released: Path, tmp_path: Path) -> None:
    snapshot = await read_snapshot(released)
    journal = await SqliteJournal.open(released)
    journal.append([e.Event(snapshot.seq + 1, snapshot.at, snapshot.epoch, e.SubtreePaused(), snapshot.root)])
    await journal.durable(snapshot.seq + 1)
    await journal.close()
    again = await read_snapshot(released)
    assert again.seq == snapshot.seq + 1
    assert again.is_paused(snapshot.root or "")  # type: ignore[arg-type]
    fresh = await open_for_writing(tmp_path / "fresh.db")
    await fresh.close()
    assert schema(released) == schema(tmp_path / "fresh.db")
    with sqlite3.connect(released) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)


async def test_a_failed_migration_leaves_the_older_version_intact(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.journal.migration.STEPS", (*STEPS[:-1], STEPS[-1] + "CREATE TABLE events (again);"))
    with pytest.raises(Exception, match="cannot be opened"):
        await open_for_writing(released)
    monkeypatch.undo()
    check_state(released, await read_snapshot(released))
    await (await open_for_writing(released)).close()
    check_state(released, await read_snapshot(released))


async def test_the_freezing_script_writes_a_journal_and_its_state(tmp_path: Path) -> None:
    path = await freeze(tmp_path, "now")
    was = msgspec.json.decode((tmp_path / "now.json").read_bytes())
    assert msgspec.json.decode(snapshot_line(await read_snapshot(path))) == was

"""A journal that takes long to open says how far it is, and can be stopped and continued."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.domain import events as e
from engine.domain.errors import SwarmError
from engine.domain.types import AgentState
from engine.journal import backfill, migration, reading, writer
from engine.journal.connection import open_for_writing, open_writer
from engine.journal.migration import MIGRATING, totals_file
from engine.journal.opening import Opening, OpeningProgress, OpeningStopped
from engine.journal.queries import JournalReader
from engine.journal.schema import VERSION
from engine.journal.writer import SqliteJournal
from engine.state.snapshot import Snapshot
from tests.engine.journal.freeze import RELEASED
from tests.engine.journal.stories import story

OLD = sorted(RELEASED.glob("*.db"))[0]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "PAGE", 4)
    monkeypatch.setattr(migration, "PAGES", 2)
    monkeypatch.setattr(reading, "PAGE", 20)
    monkeypatch.setattr(writer, "FAR", 50)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "journal.db"))


def totals(path: Path) -> list[list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        return [sorted(db.execute(f"SELECT * FROM {table}").fetchall()) for table in backfill.TABLES]


def migrated(folder: Path) -> list[list[tuple[Any, ...]]]:
    """The totals of an undisturbed migration."""
    path = Path(shutil.copy(OLD, folder / "whole.db"))
    open_writer(path).close()
    return totals(path)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def counted(then: Callable[[Opening, int], object] = lambda opening, number: None) -> tuple[Opening, list[int]]:
    """An opening that reports every step; `then` is called with the number of each."""
    seen: list[int] = []

    def report(at: OpeningProgress) -> None:
        assert 0 <= at.done <= at.total
        seen.append(at.done)
        then(opening, len(seen))

    opening = Opening(report, every_s=0)
    return opening, seen


def test_a_migration_says_how_far_it_is(old: Path) -> None:
    opening, seen = counted()
    open_writer(old, opening).close()
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert str(OpeningProgress(MIGRATING, 9, 20)) == "migrating the journal: 45%"
    assert version(old) == VERSION


def test_a_migration_that_is_stopped_continues_where_it_was(old: Path, tmp_path: Path) -> None:
    opening, before = counted(lambda opening, number: opening.stop() if number == 4 else None)
    with pytest.raises(OpeningStopped):
        open_writer(old, opening)
    assert version(old) == 1
    opening, after = counted()
    open_writer(old, opening).close()
    assert after[0] > before[-1]
    assert totals(old) == migrated(tmp_path)
    assert not totals_file(old).exists()


def test_a_stop_during_the_last_transaction_leaves_the_older_version(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "LOOK", 1)
    opening = Opening()
    statements = migration._statements
    monkeypatch.setattr(migration, "_statements", lambda step: (opening.stop(), *statements(step))[1:])
    with pytest.raises(OpeningStopped):
        open_writer(old, opening)
    assert version(old) == 1
    monkeypatch.undo()
    open_writer(old).close()
    assert version(old) == VERSION


async def test_cancelling_an_opening_waits_for_its_thread(old: Path, tmp_path: Path) -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    opening, _ = counted(lambda opening, number: loop.call_soon_threadsafe(begun.set))
    task = asyncio.create_task(open_for_writing(old, opening))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert opening.stopped
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))  # no thread writes any more
    await (await open_for_writing(old)).close()
    assert version(old) == VERSION
    assert totals(old) == migrated(tmp_path)


async def test_a_journal_that_an_older_program_wrote_to_meanwhile_is_added_up_again(old: Path, tmp_path: Path) -> None:
    opening, before = counted(lambda opening, number: opening.stop() if number == 4 else None)
    with pytest.raises(OpeningStopped):
        open_writer(old, opening)
    with closing(sqlite3.connect(old)) as db, db:
        row = "SELECT seq + 1, at, epoch, kind, agent, task, cause, body FROM events ORDER BY seq DESC LIMIT 1"
        db.execute(f"INSERT INTO events {row}")
    opening, after = counted()
    open_writer(old, opening).close()
    assert after[0] == before[0]
    assert totals(old) == migrated(tmp_path)


def garbage(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + os.urandom(5_000))


def link(file: Path) -> None:
    (file.parent / "precious").write_text("kept")
    file.symlink_to(file.parent / "precious")


def other_schema(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE progress (part, version, events, seq)")
        db.execute(
            "CREATE VIEW tool_use AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a FROM n) SELECT * FROM n"
        )


def too_far(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        for sql in migration._schema():
            db.execute(sql)
        db.executemany("INSERT INTO progress VALUES (?, 1, 999999999, ?)", [(part, 2**60) for part in backfill.PARTS])


@pytest.mark.parametrize("left", [garbage, link, other_schema, too_far])
def test_a_file_that_no_migration_left_is_not_used(old: Path, tmp_path: Path, left: Callable[[Path], None]) -> None:
    left(totals_file(old))
    open_writer(old).close()
    assert totals(old) == migrated(tmp_path)
    assert not totals_file(old).exists()
    if left is link:
        assert (tmp_path / "precious").read_text() == "kept"


def test_a_folder_in_place_of_the_file_is_an_error_that_names_it(old: Path) -> None:
    totals_file(old).mkdir()
    with pytest.raises(SwarmError, match=r"journal\.db\.migration"):
        open_writer(old)
    assert version(old) == 1


# --- folding -------------------------------------------------------------------------------------------------


async def without_checkpoints(path: Path) -> Snapshot:
    told = story(5, 400, text=40)
    journal = await SqliteJournal.open(path)
    journal.append(told.events)
    await journal.close()
    return told.snapshot


async def opened(path: Path, opening: Opening) -> Snapshot:
    reader, journal = await JournalReader.open(path), await SqliteJournal.open(path)
    try:
        return await journal.state(reader, opening)
    finally:
        await reader.close()
        await journal.close()


async def test_a_long_fold_says_how_far_it_is_and_leaves_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "EVERY", 30)
    path = tmp_path / "journal.db"
    expected = await without_checkpoints(path)
    opening, seen = counted()
    assert await opened(path, opening) == expected
    assert seen == sorted(seen)
    assert len(seen) > 10
    with closing(sqlite3.connect(path)) as db:
        made = [seq for (seq,) in db.execute("SELECT seq FROM checkpoints ORDER BY seq")]
    assert len(made) >= 6
    assert made[-1] == expected.seq


async def test_a_long_fold_that_is_stopped_continues_from_its_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    expected = await without_checkpoints(path)
    opening, before = counted(lambda opening, number: opening.stop() if number == 10 else None)
    with pytest.raises(OpeningStopped):
        await opened(path, opening)
    opening, after = counted()
    assert await opened(path, opening) == expected
    assert before[-1] - writer.FAR < after[0]
    assert len(after) < len(range(0, expected.seq, reading.PAGE)) - 5


async def test_reading_says_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    expected = await without_checkpoints(path)
    reader = await JournalReader.open(path)
    opening, seen = counted()
    assert await reader.snapshot(opening=opening) == expected
    await reader.close()
    assert seen[-1] == expected.seq


@pytest.mark.parametrize(("kept", "error"), [(False, ""), (True, "the state at event")])
async def test_only_what_a_state_keeps_of_the_texts_counts_against_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool, error: str
) -> None:
    monkeypatch.setattr(reading, "STATE", 300_000)
    told = story(5, 60, text=10)
    for number in range(400):
        text = f"{number} " + "x" * 2_000
        told.tell(e.FailureNoted(text) if kept else e.AgentStateChanged(AgentState.THINKING, text), told.snapshot.root)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(told.events)
    await journal.close()
    reader = await JournalReader.open(tmp_path / "journal.db")
    if error:
        with pytest.raises(SwarmError, match=error):
            await reader.snapshot()
    else:
        assert await reader.snapshot() == told.snapshot
    await reader.close()

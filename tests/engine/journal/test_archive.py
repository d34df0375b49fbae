"""Archived bodies are read from their file; if the file is missing, the error names it."""

import sqlite3
from pathlib import Path

import pytest

from engine.domain import events as e
from engine.domain.errors import SwarmError
from engine.journal import archive as module
from engine.journal.archive import archive
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from tests.engine.journal.snapshots import read_snapshot
from tests.engine.journal.stories import Story, story


@pytest.fixture
async def told(tmp_path: Path) -> Story:
    made = story(11, 400, text=6000)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(made.events)
    await journal.close()
    return made


async def read(path: Path) -> list[e.Event]:
    reader = await JournalReader.open(path)
    try:
        return [event async for event in reader.stream()]
    finally:
        await reader.close()


def blobs(path: Path) -> int:
    with sqlite3.connect(path) as db:
        return int(db.execute("SELECT count(*) FROM blobs").fetchone()[0])


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[50] ^= 0xFF
    file.write_bytes(content)


def size(path: Path) -> int:
    return path.stat().st_size


async def test_archived_bodies_stay_readable_and_the_journal_shrinks(tmp_path: Path, told: Story) -> None:
    path = tmp_path / "journal.db"
    before = blobs(path), size(path)
    assert before[0] > 20
    first = archive(path, 200)
    assert first.file is not None
    assert 0 < blobs(path) < before[0]
    second = archive(path, 400)
    assert second.file not in (None, first.file)
    assert first.bodies + second.bodies + blobs(path) == before[0]
    assert size(path) < before[1]
    assert archive(path, 400).file is None
    assert await read(path) == told.events
    assert await read_snapshot(path) == told.snapshot
    reader = await JournalReader.open(path)
    root = told.snapshot.root
    assert root is not None
    rows = await reader.messages(root, limit=500, whole=True)
    assert all(len(row.text.encode()) == row.size for row in rows)
    await reader.close()


async def test_a_run_can_be_resumed_after_archiving(tmp_path: Path, told: Story) -> None:
    path = tmp_path / "journal.db"
    archive(path, 400)
    journal = await SqliteJournal.open(path)
    more = told.go_on(600)[journal.last_seq :]
    journal.append(more)
    await journal.close()
    assert await read(path) == told.events


async def test_a_missing_archive_file_is_reported_by_name(tmp_path: Path, told: Story) -> None:
    path = tmp_path / "journal.db"
    done = archive(path, 400)
    assert done.file is not None
    done.file.rename(tmp_path / "elsewhere")
    with pytest.raises(SwarmError, match=done.file.name) as raised:
        await read(path)
    assert "restore the file" in raised.value.hint
    (tmp_path / "elsewhere").rename(done.file)
    assert await read(path) == told.events


async def test_a_changed_archive_file_is_rejected(tmp_path: Path, told: Story) -> None:
    path = tmp_path / "journal.db"
    done = archive(path, 400)
    assert done.file is not None
    spoil(done.file)
    with pytest.raises(SwarmError, match="is damaged"):
        await read(path)


async def test_a_crash_between_archive_and_journal_loses_nothing(
    tmp_path: Path, told: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    monkeypatch.setattr(module, "_MOVED", "INSERT INTO nowhere VALUES (?)")
    with pytest.raises(SwarmError):
        archive(path, 400)
    monkeypatch.undo()
    assert await read(path) == told.events
    archive(path, 400)
    assert await read(path) == told.events

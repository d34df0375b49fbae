"""No durable event is lost, and a failing disk is always reported."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event, TaskQueued, Warned
from engine.domain.types import AgentId, Task, TaskId, TaskSpec
from engine.journal import connection, writer
from engine.journal.connection import WriteConnection, open_for_writing
from engine.journal.schema import VERSION
from engine.journal.writer import SqliteJournal
from tests.engine.journal.snapshots import read_snapshot
from tests.engine.journal.stories import story

T = TypeVar("T")
WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from engine.journal.writer import SqliteJournal
from tests.engine.journal.stories import story

async def main():
    journal = await SqliteJournal.open(Path(sys.argv[1]))
    for event in story(5, 100_000, text=2000).go_on(0):
        journal.append([event])
        if event.seq % 7 == 0:
            await journal.durable(event.seq)
            print(event.seq, flush=True)

asyncio.run(main())
"""


def warned(seq: int, text: str = "") -> Event:
    return Event(seq, seq, 1, Warned(text or f"number {seq}"))


async def pragma(db: WriteConnection, words: str) -> list[tuple[object, ...]]:
    return await db.run(lambda db: db.execute(f"PRAGMA {words}").fetchall())


class Faulty(WriteConnection):
    """A connection that fails `times` times: `instead` of doing the work, or `after` it."""

    def __init__(
        self,
        sound: WriteConnection,
        *,
        instead: sqlite3.Error | None = None,
        after: sqlite3.Error | None = None,
        times: int = 1,
    ) -> None:
        super().__init__(sound._db, sound._thread)
        self.failed = 0
        self._instead = instead
        self._after = after
        self._times = times

    async def run(self, work: Callable[..., T], *args: object, **kwargs: object) -> T:
        failing = self.failed < self._times and work.__name__ != "close"
        self.failed += failing
        if failing and self._instead is not None:
            raise self._instead
        done = await super().run(work, *args, **kwargs)
        if failing and self._after is not None:
            raise self._after
        return done


async def test_a_killed_process_loses_no_durable_event(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    script = WRITE_UNTIL_KILLED.replace("100_000, text=2000", "3000, text=2000")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert process.stdout
    acknowledged = 0
    while acknowledged < 200:
        acknowledged = int(await process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).split()
    await process.wait()
    acknowledged = max(acknowledged, *(int(seq) for seq in rest), 0)
    snapshot = await read_snapshot(path)
    assert snapshot.seq >= acknowledged
    told = story(5, 3000, text=2000).events
    journal = await SqliteJournal.open(path)
    assert [event async for event in journal.events()] == told[: snapshot.seq]
    journal.append(told[snapshot.seq : snapshot.seq + 5])
    await journal.durable(snapshot.seq + 5)
    await journal.close()


async def durable_at_last(journal: SqliteJournal, seq: int) -> None:
    """Wait through failed attempts until one writes the event."""
    while journal.durable_seq < seq:
        with suppress(SwarmError):
            await journal.durable(seq)


async def test_a_full_disk_fails_waiters_and_keeps_the_queue_until_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.01)
    failures: list[SwarmError] = []
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.on_failure = failures.append
    journal.append([warned(1)])
    await journal.durable(1)
    [[pages]] = await pragma(journal._db, "page_count")
    await pragma(journal._db, f"max_page_count = {pages}")
    for seq in range(2, 200):
        journal.append([warned(seq, os.urandom(1000).hex())])
    with pytest.raises(SwarmError) as raised:
        await journal.durable(199)
    assert raised.value.kind is ErrorKind.JOURNAL
    assert "full" in raised.value.message
    assert len(failures) == 1
    assert journal.durable_seq < 199
    with pytest.raises(SwarmError):  # later attempts fail, too
        await journal.durable(199)
    assert len(failures) == 1
    await pragma(journal._db, "max_page_count = 1000000")
    await durable_at_last(journal, 199)
    assert journal.failure is None
    assert [event.seq async for event in journal.events()] == list(range(1, 200))
    await journal.close()


async def test_closing_while_the_disk_is_full_raises_the_error(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    [[pages]] = await pragma(journal._db, "page_count")
    await pragma(journal._db, f"max_page_count = {pages}")
    journal.append([warned(seq, os.urandom(1000).hex()) for seq in range(1, 200)])
    with pytest.raises(SwarmError):
        await journal.close()
    with pytest.raises(ValueError):
        journal.append([warned(200)])


async def test_a_batch_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH", 10)
    path = tmp_path / "journal.db"
    journal = await SqliteJournal.open(path)
    ends: list[int] = []
    seen: set[int] = set()
    reader = sqlite3.connect(path)
    seq = 0
    for size in (3, 4, 25, 1, 9, 2, 40):
        journal.append([warned(seq + n) for n in range(1, size + 1)])
        seq += size
        ends.append(seq)
    for end in ends:
        await journal.durable(end)
        seen.add(reader.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])
    assert seen <= {0, *ends}
    reader.close()
    await journal.close()


async def test_a_commit_that_failed_but_reached_the_disk_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.01)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal._db = Faulty(journal._db, after=sqlite3.OperationalError("disk I/O error"))
    journal.append([warned(1), warned(2)])
    with pytest.raises(SwarmError):
        await journal.durable(2)
    journal.append([warned(3)])
    await durable_at_last(journal, 3)
    assert [event.seq async for event in journal.events()] == [1, 2, 3]
    await journal.close()


async def test_a_cancelled_waiter_does_not_disturb_the_others(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append([warned(1)])
    impatient = asyncio.create_task(journal.durable(1))
    patient = asyncio.create_task(journal.durable(1))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await journal.close()


async def test_an_event_that_was_never_appended_cannot_be_waited_for(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    with pytest.raises(ValueError):
        await journal.durable(1)
    await journal.close()


async def test_a_reopened_journal_continues_its_sequence(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await SqliteJournal.open(path)
    journal.append([warned(1), warned(2)])
    await journal.close()
    assert path.stat().st_mode & 0o777 == 0o600
    again = await SqliteJournal.open(path)
    assert again.last_seq == again.durable_seq == 2
    with pytest.raises(ValueError):
        again.append([warned(2)])
    again.append([warned(3)])
    await again.close()


async def test_the_file_is_synced_against_power_cuts(tmp_path: Path) -> None:
    db = await open_for_writing(tmp_path / "journal.db")
    assert await pragma(db, "synchronous") == [(2,)]
    assert await pragma(db, "journal_mode") == [("wal",)]
    await db.close()


async def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as raised:
        await SqliteJournal.open(tmp_path / "nowhere" / "journal.db")
    assert raised.value.kind is ErrorKind.JOURNAL


async def test_a_journal_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await (await SqliteJournal.open(path)).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(SwarmError) as raised:
        await SqliteJournal.open(path)
    assert "newer" in raised.value.message
    with pytest.raises(SwarmError):
        await read_snapshot(path)
    assert path.read_bytes() == before


async def test_an_interrupted_damage_check_leaves_the_journal_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    journal = await SqliteJournal.open(path)
    journal.append([Event(seq, seq, 1, Warned("x" * 500)) for seq in range(1, 20_001)])
    await journal.close()
    monkeypatch.setattr(connection, "_CHECK_S", 0.001)
    for _ in range(3):
        again = await SqliteJournal.open(path)
        assert again.last_seq == 20_000
        await again.close()


async def test_a_damaged_journal_is_not_written_to_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[SwarmError] = []
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.on_failure = told.append
    malformed = sqlite3.DatabaseError("database disk image is malformed")
    journal._db = faulty = Faulty(journal._db, instead=malformed, times=3)
    for seq in (1, 2, 3):
        journal.append([Event(seq, seq, 1, Warned("x"))])
        with pytest.raises(SwarmError, match=r"journal\.db is damaged: database disk image is malformed") as raised:
            await journal.durable(seq)
        assert "restore the file" in raised.value.hint
    with pytest.raises(SwarmError, match="is damaged"):
        await journal.close()
    assert faulty.failed == 1
    assert len(told) == 1


async def test_a_number_that_no_column_can_hold_does_not_end_the_journal(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    spec = TaskSpec("title", "goal", priority=2**63)
    task = Task(TaskId("t"), spec, planner=AgentId("a"), intent=1, queued_at=1)
    events = [Event(1, 1, 1, TaskQueued(task), AgentId("a"), task.id), warned(2)]
    journal.append(events)
    await journal.durable(2)
    await journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        assert db.execute("SELECT priority FROM tasks").fetchall() == [(2**63 - 1,)]

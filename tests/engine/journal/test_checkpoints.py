"""The state from a checkpoint equals the fold of the events, at every event of a run."""

import sqlite3
from pathlib import Path

import pytest

from engine.domain import events as e
from engine.domain.types import Intent
from engine.journal import checkpoints, writer
from engine.journal.opening import Opening
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests.engine.journal.snapshots import read_snapshot
from tests.engine.journal.stories import Story, story


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make checkpoints and chunks so small that a short run has many."""
    monkeypatch.setattr(writer, "EVERY", 50)
    monkeypatch.setattr(checkpoints, "CHUNK", 4)


def is_there(path: Path) -> bool:
    return path.exists()


async def written(path: Path, events: list[e.Event]) -> Snapshot:
    """Write events as a swarm does: fold each, append it, offer the state as a checkpoint."""
    reader = await JournalReader.open(path) if is_there(path) else None
    journal = await SqliteJournal.open(path)
    snapshot = await journal.state(reader, Opening()) if reader else Snapshot()
    for event in events:
        fold(snapshot, event)
        journal.append([event])
        journal.checkpoint(snapshot)
        if event.seq % 10 == 0:
            await journal.durable(event.seq)
    await journal.close()
    if reader:
        await reader.close()
    return snapshot


def folded(told: Story, until: int) -> Snapshot:
    snapshot = Snapshot()
    for event in told.events[:until]:
        fold(snapshot, event)
    return snapshot


def in_order(snapshot: Snapshot) -> list[list[str]]:
    """The order of dicts matters, as the screen shows it, but `==` ignores it."""
    return [list(getattr(snapshot, name)) for name in ("agents", "tasks", "handoffs", "scratchpads", "children")]


def marks(path: Path, sql: str = "SELECT seq FROM checkpoints ORDER BY seq") -> list[int]:
    with sqlite3.connect(path) as db:
        return [row[0] for row in db.execute(sql)]


@pytest.mark.parametrize("seed", range(6))
async def test_the_state_at_any_event_is_the_fold_of_the_events_up_to_it(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.db"
    told = story(seed, 700, text=60)
    assert await written(path, told.events) == told.snapshot
    assert len(marks(path)) >= 10
    reader = await JournalReader.open(path)
    for until in (700, 1, 49, 50, 51, 333, 650, 699, 12, 700):
        expected, found = folded(told, until), await reader.snapshot(until)
        assert found == expected
        assert in_order(found) == in_order(expected)
        assert (found.landings.maxlen, found.samples.maxlen) == (expected.landings.maxlen, expected.samples.maxlen)
    await reader.close()


async def test_a_resumed_run_starts_from_its_checkpoint_and_writes_more(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    told = story(7, 300, text=60)
    await written(path, told.events)
    before, last = len(marks(path)), told.snapshot.seq
    told.go_on(600)
    assert await written(path, told.events[last:]) == told.snapshot
    assert len(marks(path)) > before
    assert await read_snapshot(path) == told.snapshot


async def test_unchanged_chunks_are_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    told = story(8, 300, text=60)
    snapshot = await written(path, told.events)
    blobs = marks(path, "SELECT count(*) FROM blobs")[0]
    quiet = [
        e.Event(seq, snapshot.at, 1, e.Warned("nothing new")) for seq in range(snapshot.seq + 1, snapshot.seq + 501)
    ]
    await written(path, quiet)
    made = len(marks(path, f"SELECT seq FROM checkpoints WHERE seq > {told.events[-1].seq}"))
    assert made == 10
    # Each checkpoint has its own small rest, and at most the chunks that changed since the one before.
    assert marks(path, "SELECT count(*) FROM blobs")[0] - blobs <= made + 4 * 4 + 10


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE checkpoints SET made_by = 'another fold'",
        "UPDATE checkpoints SET parts = '{}'",
        "UPDATE checkpoints SET parts = 'not json'",
        "DELETE FROM blobs",
        "UPDATE blobs SET data = x'00'",
    ],
)
async def test_an_unusable_checkpoint_is_ignored(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "journal.db"
    told = story(9, 200, text=60)
    await written(path, told.events)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM events WHERE body LIKE '%blob:%'").fetchone() == (0,)
        db.execute(harm)
    assert await read_snapshot(path) == told.snapshot


async def test_a_state_that_cannot_be_stored_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    told = story(10, 200, text=60)
    told.tell(e.IntentVersioned(Intent(99, told.at, "person", "a lone \ud800 surrogate")))  # nothing replaces it
    told.go_on(400)
    assert await written(path, told.events) == told.snapshot
    assert max(marks(path)) <= 250
    assert await read_snapshot(path) == told.snapshot

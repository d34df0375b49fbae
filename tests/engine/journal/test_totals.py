"""The journal's totals are the sums over its events, also after a migration from an older version."""

import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.errors import SwarmError
from engine.domain.failure_signature import failure_of
from engine.journal import backfill
from engine.journal.backfill import TOTALS
from engine.journal.connection import open_for_writing
from engine.journal.projections.totals import SLOWEST, used
from engine.journal.queries import JournalReader
from engine.journal.untrusted import schema_rows
from engine.journal.writer import SqliteJournal
from engine.state.fold.agents import INDEX_LOCKED
from tests.engine.journal.bodies import numbered
from tests.engine.journal.freeze import RELEASED
from tests.engine.journal.stories import story

CALL = e.ToolFinished(t.CallId("x"), "shell", t.ToolCallState.ERROR, "x", (), 1.0)
TABLES = ("tool_use", "prompt_use", "failures", "slow_steps", "pauses")
OLD = sorted(RELEASED.glob("*.db"))


async def written(path: Path, events: list[e.Event]) -> Path:
    journal = await SqliteJournal.open(path)
    for event in events:
        journal.append([event])
    await journal.close()
    return path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return [tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in db.execute(sql)]


async def test_totals_are_the_sums_over_the_events(tmp_path: Path) -> None:
    told = story(3, 800)
    locked = f"exit 128\nfatal: Unable to create '/ws/.git/{INDEX_LOCKED}.\nerror: line 7 is wrong"
    for call in (
        e.ToolFinished(t.CallId("b"), "shell", t.ToolCallState.OK, "exit 0 after 1.0 s", (), 3.0, 1.0, True),
        e.ToolFinished(t.CallId("b"), "shell", t.ToolCallState.OK, "exit 0 after 1.0 s", (), 5.0, 0.0, True),
        e.ToolFinished(t.CallId("l"), "shell", t.ToolCallState.OK, locked, (), 1.0),
        e.ToolFinished(t.CallId("r"), "read_file", t.ToolCallState.ERROR, "there is no a.py at 17", (), 0.5),
        e.ToolFinished(t.CallId("w"), "wait", t.ToolCallState.INTERRUPTED, "", (), 0.0),
    ):
        told.tell(call, told.snapshot.root)
    path = await written(tmp_path / "journal.db", told.events)
    calls = [event.body for event in told.events if isinstance(event.body, e.ToolFinished)]
    of: dict[tuple[str, bool], list[e.ToolFinished]] = defaultdict(list)
    for call in calls:
        of[call.tool, call.build or call.gate_wait_s > 0].append(call)
    assert rows(path, "SELECT * FROM tool_use") == [
        (
            *(tool, build, len(same), sum(c.state == "error" for c in same)),
            *(sum(c.state == "interrupted" for c in same), sum(INDEX_LOCKED in c.answer for c in same)),
            *(sum(c.wall_s for c in same), sum(c.gate_wait_s for c in same), max(c.wall_s for c in same)),
        )
        for (tool, build), same in sorted(of.items())
    ]
    assert ("shell", True) in of
    failed = Counter(
        (event.body.tool, error)
        for event in told.events
        if isinstance(event.body, e.ToolFinished)
        and (error := failure_of(event.body.tool, event.body.state, event.body.answer))
    )
    assert {(tool, error): times for tool, error, times in rows(path, _TIMES)} == failed
    assert failed["shell", "error: line N is wrong"] == failed["read_file", "there is no a.py at N"] == 1
    turns = [(event, event.body) for event in told.events if isinstance(event.body, e.TurnTaken)]
    assert rows(path, "SELECT sum(calls), sum(input_tokens), sum(wall_s) FROM prompt_use") == [
        (len(turns), sum(turn.usage.input for _, turn in turns), sum(turn.wall_s for _, turn in turns))
    ]
    assert {row[:2] for row in rows(path, "SELECT agent, prompt FROM prompt_use")} == {
        (event.agent, turn.prompt) for event, turn in turns
    }


_TIMES = "SELECT tool, error, sum(times) FROM failures GROUP BY 1, 2"


async def test_the_slowest_steps_are_kept_in_any_order_of_arrival(tmp_path: Path) -> None:
    took = [float(number * 37 % 101) for number in range(300)]  # three times each
    events = numbered(
        [
            e.ToolFinished(t.CallId(f"c{n}"), "shell", t.ToolCallState.OK, "", (), wall_s)
            for n, wall_s in enumerate(took)
        ]
        + [e.ToolFinished(t.CallId("w"), "wait", t.ToolCallState.OK, "", (), 9_000.0)]
    )
    slowest = sorted(((wall_s, -event.seq) for event, wall_s in zip(events, took, strict=False)), reverse=True)[
        :SLOWEST
    ]
    one_by_one = await written(tmp_path / "one-by-one.db", events)
    journal = await SqliteJournal.open(tmp_path / "at-once.db")
    journal.append(events)
    await journal.close()
    for path in (one_by_one, tmp_path / "at-once.db"):
        assert rows(path, "SELECT wall_s, -seq FROM slow_steps ORDER BY wall_s DESC, seq") == slowest
        assert rows(path, "SELECT DISTINCT tool FROM slow_steps") == [("shell",)]


async def test_a_pause_lasts_until_the_agents_next_state_change(tmp_path: Path) -> None:
    states = (
        *("thinking", "paused", "paused", "acting", "thinking", "paused"),
        "thinking",
    )
    events = numbered([e.AgentStateChanged(t.AgentState(state)) for state in states])
    path = await written(tmp_path / "journal.db", events)
    at = [event.at for event in events]
    assert rows(path, "SELECT seq, at, until FROM pauses") == [
        (2, at[1], at[2]),
        (3, at[2], at[3]),
        (6, at[5], at[6]),
    ]


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
async def test_migrating_an_older_journal_computes_its_totals(old: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(old, tmp_path / "old.db"))
    reader = await JournalReader.open(path)
    events = [event async for event in reader.stream()]
    await reader.close()
    await (await open_for_writing(path)).close()
    anew = await written(tmp_path / "anew.db", events)
    for table in TABLES:
        assert rows(path, f"SELECT * FROM {table}") == rows(anew, f"SELECT * FROM {table}"), table
    assert rows(path, "SELECT sum(calls) > 0 FROM tool_use") == [(1,)]


async def test_older_commands_that_match_the_gate_count_as_builds(tmp_path: Path) -> None:
    created = e.RunCreated(t.RunId("r"), "/r", "main", t.CommitId("c"), "", {}, '{"build":{"gate":["make*"]}}', "0")
    events = [created]
    for call, command in (("a", "make -j4"), ("b", "ls"), ("c", "cd x && make")):
        arguments = f'{{"command":"{command}"}}'
        events.append(e.ToolStarted(t.CallId(call), "shell", arguments, True, command))
        events.append(e.ToolFinished(t.CallId(call), "shell", t.ToolCallState.OK, "exit 0", (), 1.0))
    path = await written(tmp_path / "journal.db", numbered(events))
    with closing(sqlite3.connect(path)) as db:
        step_back(db)
    await (await open_for_writing(path)).close()
    assert rows(path, "SELECT build, calls FROM tool_use") == [(0, 1), (1, 2)]


async def test_a_crash_during_the_migration_leaves_the_older_version_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(OLD[0], tmp_path / "old.db"))
    before = rows(path, "SELECT name FROM sqlite_schema")

    def dies(db: sqlite3.Connection, after: int) -> Iterator[backfill.Page]:
        yield 1, list(used(numbered([CALL])[0], CALL))
        raise OSError("no room")

    monkeypatch.setitem(backfill.PARTS, "calls", dies)
    with pytest.raises(SwarmError, match="no room"):
        await open_for_writing(path)
    assert rows(path, "SELECT name FROM sqlite_schema") == before
    monkeypatch.undo()
    await (await open_for_writing(path)).close()
    assert rows(path, "PRAGMA user_version")[0][0] >= TOTALS
    assert rows(path, "SELECT sum(times) FROM failures WHERE error = 'x'") == [(None,)]


def step_back(db: sqlite3.Connection) -> None:
    """Turn the journal into one of the version before totals, as far as the migration looks."""
    db.execute("ALTER TABLE runs DROP COLUMN unchanged")
    for column in ("clean", "overrules", "command"):
        db.execute(f"ALTER TABLE greens DROP COLUMN {column}")
    for column in ("after_tasks", "replaces", "directions"):
        db.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
    for table in TABLES:
        db.execute(f"DROP TABLE {table}")
    indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    for (index,) in db.execute(indexes).fetchall():
        if index not in {name for _, name, *_ in schema_rows(TOTALS - 1)}:
            db.execute(f"DROP INDEX {index}")
    for kind, name, _, sql in schema_rows(TOTALS - 1):
        if name in ("tool_times", "events_have_no_holes", "samples_per_minute") and sql is not None:
            db.execute(f"DROP {kind} {name}")
            db.execute(sql)
    for column in ("starved", "cpu_others", "runnable"):
        db.execute(f"ALTER TABLE samples DROP COLUMN {column}")
    db.execute(f"PRAGMA user_version = {TOTALS - 1}")

"""The screens' queries, on a journal that is being written, was left by a crash, or is damaged."""

import asyncio
import io
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import json

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.conversation import Message, StopReason, Text, ToolCall
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import AgentId
from engine.journal.queries import JournalReader
from engine.journal.run_row import glance
from engine.journal.writer import SqliteJournal
from engine.reports.export import export_jsonl
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests.engine.journal.bodies import numbered
from tests.engine.journal.snapshots import read_snapshot
from tests.engine.journal.stories import Story, story

READ_SEQ = """
import asyncio, sys
from pathlib import Path
from engine.domain.errors import SwarmError
from engine.journal.queries import JournalReader

async def main():
    reader = await JournalReader.open(Path(sys.argv[1]))
    print((await reader.snapshot()).seq)
    await reader.close()

try:
    asyncio.run(main())
except SwarmError as error:
    print(error.message)
"""
"""A program that prints the last sequence number of a journal, or why it cannot be read."""


async def written(path: Path, events: list[e.Event]) -> Path:
    journal = await SqliteJournal.open(path)
    journal.append(events)
    await journal.close()
    return path


@pytest.fixture
async def told(tmp_path: Path) -> Story:
    made = story(13, 900, text=6000)
    await written(tmp_path / "journal.db", made.events)
    return made


async def test_the_fold_of_the_file_is_the_fold_of_the_events(tmp_path: Path, told: Story) -> None:
    assert await read_snapshot(tmp_path / "journal.db") == told.snapshot


async def test_the_fold_stops_at_a_given_event(tmp_path: Path, told: Story) -> None:
    expected = Snapshot()
    for event in told.events[:250]:
        fold(expected, event)
    assert await read_snapshot(tmp_path / "journal.db", until=250) == expected


async def test_events_page_backwards_and_forwards(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    last = len(told.events)
    newest = await reader.events(limit=10)
    assert [event.seq for event in newest] == list(range(last, last - 10, -1))
    before = await reader.events(before=newest[-1].seq, limit=5)
    assert [event.seq for event in before] == list(range(last - 10, last - 15, -1))
    assert await reader.events(after=3, limit=5) == told.events[3:8]
    start = await reader.events(before=3, limit=5)
    assert [event.seq for event in start] == [2, 1]
    assert not await reader.events(before=1)
    assert not await reader.events(after=last)
    await reader.close()


async def test_events_of_one_agent_page_backwards_and_forwards(tmp_path: Path) -> None:
    one, other = AgentId("a-1"), AgentId("a-2")
    events = [e.Event(seq, seq, 1, e.Warned(str(seq)), one if seq % 2 else other) for seq in range(1, 8)]
    reader = await JournalReader.open(await written(tmp_path / "journal.db", events))
    assert [event.seq for event in await reader.events(agent=one, limit=2)] == [7, 5]
    assert [event.seq for event in await reader.events(agent=one, before=5)] == [3, 1]
    assert [event.seq for event in await reader.events(agent=other, after=2)] == [4, 6]
    await reader.close()


async def test_events_are_found_by_time(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    event = told.events[300]
    assert told.events[await reader.seq_at(event.at) - 1].at == event.at
    assert await reader.seq_at(-1) == 0
    assert await reader.seq_at(2**60) == len(told.events)
    await reader.close()


async def test_messages_are_paged_and_complete_on_demand(tmp_path: Path) -> None:
    long = "word " * 3000
    said = Message("assistant", (Text(long), ToolCall(t.CallId("c"), "shell", '{"command": "ls"}')))
    turn = e.TurnTaken(t.ModelName("a:b"), "# Task: x", (), said, StopReason.TOOLS, t.Usage(), "worker@1", 1.0)
    reader = await JournalReader.open(await written(tmp_path / "journal.db", numbered([turn] * 5)))
    newest = await reader.messages(AgentId("a-1"), limit=3)
    assert [m.role for m in newest] == ["assistant", "user", "assistant"]
    assert not newest[-1].whole
    assert len(newest[-1].text) == 4096
    assert newest[-1].size == len(long)
    assert newest[-1].calls[0].tool == "shell"
    [whole] = await reader.messages(AgentId("a-1"), limit=1, whole=True)
    assert whole.text == long
    older = await reader.messages(AgentId("a-1"), before=newest[0].id, limit=100)
    assert len(older) == 7
    assert older[-1].id < newest[0].id
    await reader.close()


async def test_scratchpads_are_listed_newest_first_and_complete(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    agent, pad = next(iter(told.snapshot.scratchpads.items()))
    pads = await reader.scratchpads(agent)
    assert pads[0] == pad
    assert [each.version for each in pads] == list(range(pad.version, 0, -1))
    await reader.close()


async def test_samples_are_spread_over_the_run(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    samples = told.snapshot.samples
    assert list(await reader.spread_samples(1000)) == list(samples)
    spread = await reader.spread_samples(3)
    assert 0 < len(spread) <= 4
    assert set(spread) <= set(samples)
    assert spread[-1] == samples[-1]
    await reader.close()


async def test_the_last_call_of_an_agent_has_its_answer_once_it_has_finished(tmp_path: Path) -> None:
    agent, call = AgentId("a-1"), t.CallId("c")
    started = e.ToolStarted(call, "shell", '{"command": "make"}', writes=True, target="make")
    bodies = [started, e.ToolFinished(call, "shell", t.ToolCallState.OK, "built"), started]
    reader = await JournalReader.open(await written(tmp_path / "journal.db", numbered(bodies)))
    running, finished = await reader.last_call(agent), await reader.last_call(agent, before=3)
    assert running is not None
    assert finished is not None
    assert (running.tool, running.target, running.answer, running.ended) == ("shell", "make", None, None)
    assert finished.answer == "built"
    assert finished.ended is not None
    assert await reader.last_call(AgentId("a-2")) is None
    await reader.close()


async def test_the_runs_row_has_the_state_that_the_events_led_to(tmp_path: Path, told: Story) -> None:
    row, s = glance(tmp_path / "journal.db"), told.snapshot
    assert row is not None
    assert (row.state, row.last_seq, row.last_at, row.models) == (s.state, s.seq, s.at, s.models)
    assert (row.agents, row.intent) == (len(s.agents), s.intents[-1].text)


async def test_a_handoff_is_followed_by_its_planners_answer_and_the_tasks_spawned_in_it(tmp_path: Path) -> None:
    planner, worker = AgentId("p"), AgentId("w")
    text = t.HandoffText(t.HandoffStatus.DONE, "it is done")
    handoff = t.Handoff(t.HandoffId("h1"), 0, None, worker, planner, text)
    mail = t.InboxMessage(t.MessageId("m1"), 0, planner, t.MessageSource.HANDOFF, "it is done", handoff.id)

    def agent(id: AgentId, role: t.Role) -> e.AgentSpawned:
        return e.AgentSpawned(t.Agent(id, t.AgentPath(id), None, role, t.ModelName("m:m"), "x"))

    def turn(words: str, consumed: tuple[t.MessageId, ...] = ()) -> e.TurnTaken:
        said = Message("assistant", (Text(words),))
        return e.TurnTaken(t.ModelName("m:m"), None, consumed, said, StopReason.TOOLS, t.Usage(), "planner@1", 0.1)

    def queued(id: str) -> e.TaskQueued:
        return e.TaskQueued(t.Task(t.TaskId(id), t.TaskSpec(id, "g"), planner, 1))

    bodies: list[tuple[e.Body, AgentId, t.TaskId | None]] = [
        (agent(planner, t.Role.PLANNER), planner, None),
        (agent(worker, t.Role.WORKER), worker, None),
        (turn("first"), planner, None),
        (queued("before"), planner, t.TaskId("before")),
        (e.HandedOff(handoff), worker, None),
        (e.MessageQueued(mail), planner, None),
    ]
    events = [e.Event(seq, seq, 1, body, who, task) for seq, (body, who, task) in enumerate(bodies, 1)]
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(events)
    await journal.durable(len(events))
    reader = await JournalReader.open(tmp_path / "journal.db")
    assert (await reader.followed(handoff.id)).answer is None
    later: list[tuple[e.Body, t.TaskId | None]] = [
        (turn("so I ask for more", (mail.id,)), None),
        (queued("after"), t.TaskId("after")),
        (turn("and on"), None),
        (queued("too late"), t.TaskId("too late")),
    ]
    journal.append(
        [e.Event(seq, seq, 1, body, planner, task) for seq, (body, task) in enumerate(later, len(events) + 1)]
    )
    await journal.close()
    followed = await reader.followed(handoff.id)
    await reader.close()
    assert followed.answer is not None
    assert followed.answer.text == "so I ask for more"
    assert [task.title for task in followed.tasks] == ["after"]


async def test_a_live_journal_is_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    events = story(2, 500).events
    journal = await SqliteJournal.open(path)
    journal.append(events[:100])
    await journal.durable(100)
    reader = await JournalReader.open(path)
    assert await reader.last_seq() == 100
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", READ_SEQ, str(path), stdout=subprocess.PIPE)
    for event in events[100:]:
        journal.append([event])
    out, _ = await other.communicate()
    assert int(out) >= 100
    await journal.durable(500)
    assert await reader.last_seq() == len(events)
    await reader.close()
    await journal.close()


async def test_a_reader_cannot_write(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    with pytest.raises(sqlite3.OperationalError):
        await reader._db.execute("CREATE TABLE x (y)")
    await reader.close()


async def test_a_query_that_takes_too_long_is_interrupted(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db", time_limit=0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(SwarmError) as raised:
        await reader._query(endless)
    assert "timed out" in raised.value.message
    assert await reader.last_seq() == len(told.events)  # the next query succeeds
    await reader.close()


async def test_a_missing_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as raised:
        await JournalReader.open(tmp_path / "journal.db")
    assert raised.value.kind is ErrorKind.NOT_FOUND
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("content", [b"hello" * 1000, b"SQLite format 3\0" + b"\xff" * 8000], ids=["text", "torn"])
async def test_a_file_that_is_not_a_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    for attempt in (SqliteJournal.open, read_snapshot):
        with pytest.raises(SwarmError) as raised:
            await attempt(path)
        assert raised.value.kind is ErrorKind.JOURNAL
        assert str(path) in raised.value.message
    assert path.read_bytes() == content


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE notes (x)")
    db.close()
    before = path.read_bytes()
    for attempt in (SqliteJournal.open, read_snapshot):
        with pytest.raises(SwarmError) as raised:
            await attempt(path)
        assert "not a journal" in raised.value.message
    assert path.read_bytes() == before


async def test_damage_is_reported_and_nothing_is_overwritten(tmp_path: Path, told: Story) -> None:
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 200] = b"\xaa" * 200
    path.write_bytes(content)
    for attempt in (SqliteJournal.open, read_snapshot):
        with pytest.raises(SwarmError) as raised:
            await attempt(path)
        assert raised.value.kind is ErrorKind.JOURNAL
        assert f"{path} is damaged" in raised.value.message
        assert "\n" not in raised.value.message
    assert path.read_bytes() == content


async def test_an_invalid_event_is_reported_by_its_number(tmp_path: Path) -> None:
    path = await written(tmp_path / "journal.db", numbered([e.Warned("fine")]))
    db = sqlite3.connect(path)
    db.execute("INSERT INTO events VALUES (2, 1, 1, 'warned', NULL, NULL, NULL, '{\"kind\": \"unheard\"}')")
    db.commit()
    db.close()
    with pytest.raises(SwarmError) as raised:
        await read_snapshot(path)
    assert "event 2" in raised.value.message


async def test_a_crashed_journal_in_a_read_only_folder_gets_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await SqliteJournal.open(path)
    journal.append(numbered([e.Warned("one")]))
    await journal.durable(1)
    left = tmp_path / "left"
    left.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(tmp_path / name, left / name)
    await journal.close()
    clean = tmp_path / "clean"
    clean.mkdir()
    shutil.copy(path, clean / "journal.db")

    async def read(folder: Path) -> str:
        mounted = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && exec "$@"'
        command = ("unshare", "-rm", "sh", "-c", mounted, "sh", sys.executable, "-c", READ_SEQ)
        process = await asyncio.create_subprocess_exec(*command, str(folder / "journal.db"), stdout=-1, stderr=-1)
        out, problem = await process.communicate()
        if process.returncode:
            pytest.skip(f"no mount namespace here: {problem.decode()}")
        return out.decode().strip()

    assert await read(clean) == "1"
    assert "in a read-only folder" in await read(left)
    assert (await read_snapshot(left / "journal.db")).seq == 1  # in a writable folder it can be read


async def test_an_export_has_every_event_complete_and_in_order(tmp_path: Path, told: Story) -> None:
    out = io.BytesIO()
    assert await export_jsonl(tmp_path / "journal.db", out) == len(told.events)
    lines = [json.decode(line) for line in out.getvalue().splitlines()]
    events = [line for line in lines if line["record"] == "event"]
    assert [line["seq"] for line in events] == list(range(1, len(told.events) + 1))
    assert len([line for line in lines if line["record"] == "handoff"]) == len(told.snapshot.handoffs)
    turns = [event for event in told.events if isinstance(event.body, e.TurnTaken)]
    assert events[turns[0].seq - 1]["body"]["message"]["blocks"][0]["text"] == turns[0].body.message.text
    again = io.BytesIO()
    await export_jsonl(tmp_path / "journal.db", again)
    assert again.getvalue() == out.getvalue()

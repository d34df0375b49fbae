"""Screens ask small questions of a journal that is being written, was left by a crash, or is damaged."""

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
from engine.domain.types import AgentId, Check, CheckPurpose, CommitId
from engine.journal.queries import JournalReader, read_snapshot
from engine.journal.writer import SqliteJournal
from engine.reports.export import export_jsonl
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests.engine.journal.bodies import numbered
from tests.engine.journal.stories import Story, story


async def written(path: Path, events: list[e.Event]) -> Path:
    journal = await SqliteJournal.open(path)
    journal.append(events)
    await journal.close()
    return path


@pytest.fixture
async def told(tmp_path: Path) -> Story:
    made = story(11, 900, text=6000)
    await written(tmp_path / "journal.db", made.events)
    return made


async def test_the_fold_of_the_file_is_the_fold_of_the_events(tmp_path: Path, told: Story) -> None:
    assert await read_snapshot(tmp_path / "journal.db") == told.snapshot


async def test_the_fold_stops_where_it_is_told(tmp_path: Path, told: Story) -> None:
    expected = Snapshot()
    for event in told.events[:250]:
        fold(expected, event)
    assert await read_snapshot(tmp_path / "journal.db", until=250) == expected


async def test_events_page_backwards_and_forwards(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    last = len(told.events)
    newest = await reader.events(limit=10)
    assert [event.seq for event in newest.events] == list(range(last, last - 10, -1))
    before = await reader.events(before=newest.searched, limit=5)
    assert [event.seq for event in before.events] == list(range(last - 10, last - 15, -1))
    after = await reader.events(after=3, limit=5)
    assert list(after.events) == told.events[3:8]
    assert after.more
    start = await reader.events(before=3, limit=5)
    assert [event.seq for event in start.events] == [2, 1]
    assert not start.more
    assert not (await reader.events(before=1)).events
    assert not (await reader.events(after=last)).events
    await reader.close()


async def test_events_are_found_by_kind_agent_and_text(tmp_path: Path) -> None:
    path = await written(
        tmp_path / "journal.db",
        [
            e.Event(1, 1, 1, e.Warned("Disk 100% full"), AgentId("a-1")),
            e.Event(2, 2, 1, e.Warned('disk_slow "quoted"'), AgentId("a-2")),
            e.Event(3, 3, 1, e.SubtreePaused(), AgentId("a-2")),
        ],
    )
    reader = await JournalReader.open(path)

    async def found(**wanted: object) -> list[int]:
        return [event.seq for event in (await reader.events(**wanted)).events]  # type: ignore[arg-type]

    assert await found(kinds=["warned"]) == [2, 1]
    assert await found(agent=AgentId("a-2")) == [3, 2]
    assert await found(kinds=["warned"], agent=AgentId("a-2")) == [2]
    assert await found(text="DISK") == [2, 1]
    assert await found(text="100%") == [1]
    assert await found(text="disk_") == [2]
    assert await found(text='"quoted"') == [2]
    assert await found(text="\ud800") == []
    await reader.close()


async def test_moments_are_found(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    event = told.events[300]
    assert told.events[await reader.seq_at(event.at) - 1].at == event.at
    assert await reader.seq_at(-1) == 0
    assert await reader.seq_at(2**60) == len(told.events)
    await reader.close()


async def test_messages_page_and_come_whole_on_demand(tmp_path: Path) -> None:
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


async def test_what_screens_show_comes_as_values(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db")
    s = told.snapshot
    handoffs = list(s.handoffs.values())
    assert await reader.handoff(handoffs[0].id) == handoffs[0]
    assert await reader.handoff(t.HandoffId("none")) is None
    assert list(await reader.handoffs(limit=3)) == handoffs[:-4:-1]
    assert list(await reader.landings(limit=1000)) == list(s.landings)[::-1]
    assert s.root
    tasks = await reader.tasks(s.root, limit=1000)
    assert {task.id for task in tasks} == set(s.tasks)
    agent, pad = next(iter(s.scratchpads.items()))
    pads = await reader.scratchpads(agent)
    assert pads[0] == pad
    assert [each.version for each in pads] == list(range(pad.version, 0, -1))
    assert [(row.at, row.sample) for row in await reader.samples(limit=1000)] == list(s.samples)
    spread = [(row.at, row.sample) for row in await reader.spread_samples(3)]
    assert 0 < len(spread) <= 4
    assert {at for at, _ in spread} <= {at for at, _ in s.samples}
    assert spread[-1] == s.samples[-1]
    checks = await reader.checks(limit=1)
    assert checks[0].check == s.last_check
    calls = await reader.tool_calls(limit=5, whole=True)
    assert [call.seq for call in calls] == sorted((call.seq for call in calls), reverse=True)
    assert {call.agent for call in await reader.tool_calls(calls[0].agent)} == {calls[0].agent}
    answers = [event.body.answer for event in told.events if isinstance(event.body, e.ToolFinished)]
    finished = await reader.tool_calls(limit=1000, whole=True)
    assert sorted(call.answer for call in finished if call.answer is not None) == sorted(answers)
    run = await reader.run()
    assert run
    assert (run.state, run.last_seq, run.last_at) == (s.state, s.seq, s.at)
    await reader.close()


async def test_what_a_handoff_led_to_is_what_its_planner_said_and_asked_for_then(tmp_path: Path) -> None:
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
    script = "import asyncio,sys,pathlib; from engine.journal.queries import read_snapshot\n"
    script += "print(asyncio.run(read_snapshot(pathlib.Path(sys.argv[1]))).seq)"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path), stdout=subprocess.PIPE)
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


async def test_a_query_that_takes_too_long_is_given_up(tmp_path: Path, told: Story) -> None:
    reader = await JournalReader.open(tmp_path / "journal.db", time_limit=0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(SwarmError) as raised:
        await reader._query(endless)
    assert "timed out" in raised.value.message
    assert await reader.last_seq() == len(told.events)  # and the next one is answered
    await reader.close()


async def test_no_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as raised:
        await JournalReader.open(tmp_path / "journal.db")
    assert raised.value.kind is ErrorKind.NOT_FOUND
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("content", [b"hello" * 1000, b"SQLite format 3\0" + b"\xff" * 8000], ids=["text", "torn"])
async def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
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


async def test_damage_is_named_and_nothing_is_overwritten(tmp_path: Path, told: Story) -> None:
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


async def test_an_event_that_says_nonsense_is_named(tmp_path: Path) -> None:
    path = await written(tmp_path / "journal.db", numbered([e.Warned("fine")]))
    db = sqlite3.connect(path)
    db.execute("INSERT INTO events VALUES (2, 1, 1, 'warned', NULL, NULL, NULL, '{\"kind\": \"unheard\"}')")
    db.commit()
    db.close()
    with pytest.raises(SwarmError) as raised:
        await read_snapshot(path)
    assert "event 2" in raised.value.message


async def test_a_crashed_journal_in_a_read_only_folder_says_what_to_do(tmp_path: Path) -> None:
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
    script = "import asyncio,sys,pathlib; from engine.domain.errors import SwarmError\n"
    script += "from engine.journal.queries import read_snapshot\n"
    script += "try: print(asyncio.run(read_snapshot(pathlib.Path(sys.argv[1]))).seq)\n"
    script += "except SwarmError as error: print(error.message)"

    async def read(folder: Path) -> str:
        mounted = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && exec "$@"'
        command = ("unshare", "-rm", "sh", "-c", mounted, "sh", sys.executable, "-c", script)
        process = await asyncio.create_subprocess_exec(*command, str(folder / "journal.db"), stdout=-1, stderr=-1)
        out, problem = await process.communicate()
        if process.returncode:
            pytest.skip(f"no mount namespace here: {problem.decode()}")
        return out.decode().strip()

    assert await read(clean) == "1"
    assert "in a read-only folder" in await read(left)
    assert (await read_snapshot(left / "journal.db")).seq == 1  # where one may write it is read


async def test_export_has_every_event_whole_and_in_order(tmp_path: Path, told: Story) -> None:
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


async def test_the_error_rate_over_time_is_of_snapshots_alone(tmp_path: Path) -> None:
    def check(
        at: int, passed: bool, purpose: CheckPurpose = CheckPurpose.SNAPSHOT, failing: int | None = None
    ) -> object:
        return e.CheckFinished(Check(at, CommitId("c"), passed, 0, "", 1.0, purpose, failing))

    bodies = [
        check(10, True),
        check(20, False, failing=2),
        check(30, False, CheckPurpose.BISECT),
        check(110, False, failing=7),
    ]
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(numbered(bodies))
    await journal.close()
    reader = await JournalReader.open(tmp_path / "journal.db")
    rates = await reader.error_rate(span=100)
    assert [(row.at, row.snapshots, row.failed, row.failing) for row in rates] == [(0, 2, 1, 2), (100, 1, 1, 7)]
    assert rates[0].rate == 0.5
    await reader.close()

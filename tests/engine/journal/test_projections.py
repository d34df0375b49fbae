"""The tables agree with the fold, and every kind of event has a projection or deliberately none."""

import json
import sqlite3
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.conversation import Message, StopReason, Text
from engine.domain.resource_use import Sample
from engine.domain.types import HOUR, AgentId, CommitId, LandingState, TaskState
from engine.journal.projections import PROJECTIONS, RECORD_ONLY
from engine.journal.statements import TABLES
from engine.journal.writer import SqliteJournal
from engine.state.snapshot import Snapshot
from tests.engine.journal.bodies import KINDS, numbered
from tests.engine.journal.stories import Story, story
from tests.engine.journal.tables import rows

T = TypeVar("T")


async def written(folder: Path, events: list[e.Event]) -> Path:
    path = folder / "journal.db"
    journal = await SqliteJournal.open(path)
    for event in events:
        journal.append([event])
    await journal.close()
    return path


def test_every_kind_of_event_has_a_projection_or_deliberately_none() -> None:
    assert RECORD_ONLY | PROJECTIONS.keys() == set(KINDS)


@pytest.mark.parametrize("seed", range(6))
async def test_tables_and_fold_agree(seed: int, tmp_path: Path) -> None:
    told = story(seed, 3_000)
    path = await written(tmp_path, told.events)
    s = told.snapshot
    assert {row["id"]: agent_row(row) for row in rows(path, "SELECT * FROM agents")} == {
        agent.id: agent_value(agent, s.workers_below.get(agent.id)) for agent in s.agents.values()
    }
    assert {row["id"]: task_row(row) for row in rows(path, "SELECT * FROM tasks")} == {
        task.id: task_value(task) for task in s.tasks.values()
    }
    [run] = rows(path, "SELECT * FROM runs")
    assert run_row(run) == run_value(s)
    assert (json.loads(run["models"]), run["settings"]) == (s.models, s.settings)
    assert [row["text"] for row in rows(path, "SELECT text FROM intents ORDER BY version")] == [
        i.text for i in s.intents
    ]
    landings = rows(path, "SELECT * FROM landings WHERE state IS NOT NULL ORDER BY id")
    assert [value(row, t.Landing) for row in landings] == list(s.landings)
    handoffs = rows(path, "SELECT * FROM handoffs ORDER BY id")
    assert [value(row, t.Handoff) for row in handoffs] == list(s.handoffs.values())
    assert {row["id"]: row["resolved"] for row in handoffs if row["resolved"] is not None} == s.resolved
    assert s.resolved
    [check] = rows(path, "SELECT * FROM greens ORDER BY seq DESC LIMIT 1")
    assert value(check, t.Check) == s.last_check
    samples = rows(path, "SELECT * FROM samples ORDER BY at")
    assert [(row["at"], value(row, Sample)) for row in samples] == list(s.samples)
    waiting = {row["id"] for row in rows(path, "SELECT id FROM inbox WHERE consumed IS NULL")}
    assert waiting == {message.id for inbox in s.inboxes.values() for message in inbox}
    pads = rows(path, "SELECT agent, max(version) AS version, text FROM scratchpads GROUP BY agent")
    assert {(p["agent"], p["version"], p["text"]) for p in pads} == {
        (p.agent, p.version, p.text) for p in s.scratchpads.values()
    }


def value(row: dict[str, Any], kind: type[T]) -> T:
    """A row as the value that it was written from."""
    lists = {name: json.loads(row[name]) for name in ("paths", "conflicts", "failed_tests") if name in row}
    fields = row | lists | {"commit": row.get("commit_oid")}
    if kind is t.Handoff:
        fields["text"] = value(row, t.HandoffText)
    return msgspec.convert(fields, kind, strict=False, from_attributes=True)


def agent_row(row: dict[str, Any]) -> tuple[Any, ...]:
    usd = row["usd"] if row["usd"] is None else pytest.approx(row["usd"])
    return (*(row[name] for name in AGENT), row["input_tokens"] + row["output_tokens"], row["tokens"], usd)


AGENT = (
    *("path", "parent", "role", "model", "state", "doing", "reason", "paused", "priority", "steps"),
    *("tokens_in_context", "goal", "scope", "ended", "workers_limit"),
)


def agent_value(a: t.Agent, places: int | None) -> tuple[Any, ...]:
    tokens = a.usage.input + a.usage.output
    where = (a.path, a.parent, a.role, a.model, a.state, a.doing, a.reason, a.paused, a.priority, a.steps)
    return (*where, a.tokens_in_context, a.goal, a.scope, a.ended_at, places, tokens, tokens, a.usage.usd)


def task_row(row: dict[str, Any]) -> tuple[Any, ...]:
    return (*(row[name] for name in TASK), json.loads(row["after_tasks"]), json.loads(row["directions"]))


TASK = ("state", "attempt", "failures", "losses", "conflicts", "agent", "commit_oid", "reason", "ended")
TASK += ("title", "goal", "scope", "intent")


def task_value(t: t.Task) -> tuple[Any, ...]:
    asked = (t.spec.title, t.spec.goal, t.spec.scope, t.intent, list(t.spec.after), list(t.directions))
    return t.state, t.attempt, t.failures, t.losses, t.conflicts, t.agent, t.commit, t.reason, t.ended_at, *asked


RUN = "state reason exit_status epoch pid trunk green landed unchanged failed cancelled handoffs "
RUN += "checks_passed checks_failed model_calls retries worked workers_limit"


def run_row(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in RUN.split())


def run_value(s: Snapshot) -> tuple[Any, ...]:
    ends = (TaskState.LANDED, TaskState.UNCHANGED, TaskState.FAILED, TaskState.CANCELLED)
    ended = tuple(s.task_counts[state] for state in ends)
    checks = (s.checks_passed, s.checks_failed, s.model_calls, s.retries, s.worked, s.workers_limit or None)
    return (s.state, s.reason, s.exit_status, s.epoch, s.pid, s.trunk, s.green, *ended, s.handoff_count, *checks)


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_trunk_ends_at_its_last_landing_in_any_order_of_the_records(
    order: tuple[int, ...], tmp_path: Path
) -> None:
    told = Story(1)
    chain = [told.snapshot.trunk, *(CommitId(f"{place:040}") for place in range(4))]
    for place in order:
        landed = t.Landing(
            t.LandingId(f"l{place}"),
            0,
            t.TaskId("t"),
            AgentId("a"),
            LandingState.MERGED,
            chain[place],
            chain[place + 1],
        )
        told.tell(e.LandingFinished(landed))
    assert told.snapshot.trunk == chain[-1]
    [run] = rows(await written(tmp_path, told.events), "SELECT trunk FROM runs")
    assert run["trunk"] == chain[-1]


async def test_a_landing_found_on_trunk_later_does_not_move_the_tip(tmp_path: Path) -> None:
    told = Story(0)
    first, second, third = (CommitId(f"{place:040}") for place in range(3))
    for name, base, commit in (("l1", first, second), ("l2", second, third), ("l3", third, second)):
        task, agent = t.TaskId("t"), AgentId("a")
        told.tell(e.LandingFinished(t.Landing(t.LandingId(name), 0, task, agent, LandingState.MERGED, base, commit)))
    assert told.snapshot.trunk == third
    [run] = rows(await written(tmp_path, told.events), "SELECT trunk FROM runs")
    assert run["trunk"] == third


async def test_the_tables_do_not_depend_on_the_grouping_into_transactions(tmp_path: Path) -> None:
    events = story(7, 600).events
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    many = await written(tmp_path / "many", events)
    one = tmp_path / "one" / "journal.db"
    journal = await SqliteJournal.open(one)
    for event in events:
        journal.append([event])
        await journal.durable(event.seq)
    await journal.close()
    for table in (*TABLES, "events"):
        here, there = rows(one, f"SELECT * FROM {table}"), rows(many, f"SELECT * FROM {table}")
        assert list(map(near, here)) == there, table


def near(row: dict[str, Any]) -> dict[str, Any]:
    """The row with approximate floats: sums may have been added in another order."""
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}


async def test_an_answer_closes_the_open_call_of_its_agent_and_otherwise_has_its_own_row(tmp_path: Path) -> None:
    started = e.ToolStarted(t.CallId("c"), "shell", "{}", True, "ls")
    finished = e.ToolFinished(t.CallId("c"), "shell", t.ToolCallState.OK, "done", ("a.py",), 1.0, 0.5)
    malformed = e.ToolFinished(t.CallId("d"), "nonsense", t.ToolCallState.ERROR, "no such tool")
    path = await written(tmp_path, numbered([started, finished, started, malformed, finished, finished]))
    calls = rows(path, "SELECT seq, id, state, answer, paths, ended FROM tool_calls ORDER BY seq")
    assert [(c["seq"], c["id"], c["state"]) for c in calls] == [
        (1, "c", "ok"),
        (3, "c", "ok"),
        (4, "d", "error"),
        (6, "c", "ok"),
    ]
    assert all(c["ended"] for c in calls)
    assert calls[0]["paths"] == '["a.py"]'


async def test_messages_read_as_a_conversation(tmp_path: Path) -> None:
    inbox = t.InboxMessage(t.MessageId("m-1"), 1, AgentId("a-1"), t.MessageSource.STEER, "Mind the tests.")
    said = Message("assistant", (Text("I " + "will " * 2000),))

    def turn(given: str | None, *consumed: str) -> e.TurnTaken:
        ids = tuple(map(t.MessageId, consumed))
        return e.TurnTaken(t.ModelName("a:b"), given, ids, said, StopReason.END, t.Usage(), "worker@1", 1.0)

    path = await written(
        tmp_path,
        numbered(
            [
                turn("# Task: x"),
                e.MessageQueued(inbox),
                turn("Mind the tests.", "m-1"),
                turn(None),
                turn("# Nudge"),
                e.ToolFinished(t.CallId("c"), "shell", t.ToolCallState.OK, "z" * 5000),
            ]
        ),
    )
    told = rows(path, "SELECT role, source, length(text) AS shown, size, blob IS NOT NULL AS more FROM messages")
    assert [(m["role"], m["source"]) for m in told] == [
        ("user", "opening"),
        ("assistant", "model"),
        ("user", "steer"),
        ("assistant", "model"),
        ("assistant", "model"),
        ("user", "system"),
        ("assistant", "model"),
        ("tool", "tool"),
    ]
    assert (told[-1]["shown"], told[-1]["size"], told[-1]["more"]) == (4096, 5000, 1)
    [[consumed]] = [list(row.values()) for row in rows(path, "SELECT consumed FROM inbox")]
    assert consumed == 3


async def test_the_error_rate_is_that_of_snapshots_alone(tmp_path: Path) -> None:
    def check(at: int, passed: bool, purpose: t.CheckPurpose, failing: int | None = None) -> e.CheckFinished:
        return e.CheckFinished(t.Check(at, CommitId("c"), passed, 0, "", 1.0, purpose, failing))

    snapshot, bisect = t.CheckPurpose.SNAPSHOT, t.CheckPurpose.BISECT
    checks = [check(10, True, snapshot), check(20, False, snapshot, 2), check(30, False, bisect)]
    path = await written(tmp_path, numbered([*checks, check(HOUR + 10, False, snapshot, 7)]))
    rates = rows(path, "SELECT snapshots, failed, error_rate, most_failing FROM error_rate_per_hour")
    assert [tuple(row.values()) for row in rates] == [(2, 1, 0.5, 2), (1, 1, 1.0, 7)]


async def test_numbers_beyond_sqlites_integers_do_not_stop_the_journal(tmp_path: Path) -> None:
    huge = t.Usage(10**30, 0, 1, 0.0)
    turn = e.TurnTaken(t.ModelName("a:b"), None, (), Message("assistant", ()), StopReason.END, huge, "p", 1.0)
    path = await written(tmp_path, numbered([turn]))
    assert len(rows(path, "SELECT 1 FROM events")) == 1


async def test_views_answer_plain_questions(tmp_path: Path) -> None:
    path = await written(tmp_path, story(3, 400).events)
    board = rows(path, "SELECT * FROM task_board")
    assert len(board) == len(rows(path, "SELECT 1 FROM tasks"))
    assert all(row["planner"] == "root" for row in board)
    assert sum(row["landed"] for row in rows(path, "SELECT * FROM landings_per_minute")) == len(
        rows(path, "SELECT 1 FROM landings WHERE state IN (?, ?)", LandingState.MERGED, LandingState.RESOLVED)
    )
    assert {row["tool"] for row in rows(path, "SELECT * FROM tool_times")} == {"shell"}


async def test_events_cannot_be_changed_deleted_or_skipped(tmp_path: Path) -> None:
    path = await written(tmp_path, numbered([e.Warned("one"), e.Warned("two")]))
    with closing(sqlite3.connect(path)) as db:
        for sql in (
            "UPDATE events SET body = '{}'",
            "DELETE FROM events",
            "INSERT OR REPLACE INTO events VALUES (1, 1, 1, 'warned', NULL, NULL, NULL, '{}')",
            "INSERT INTO events VALUES (4, 1, 1, 'warned', NULL, NULL, NULL, '{}')",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(sql)

"""What has left memory is read back from the journal as it was, and only what there was at a time."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.domain import events as e
from engine.domain import types as t
from engine.journal.queries import JournalReader
from engine.journal.recall import AGENTS_BELOW, NEWEST_HANDOFFS, TASKS_BELOW
from engine.journal.writer import SqliteJournal
from engine.state.fold import fold, retirement
from engine.state.recalled import Recalled
from engine.state.snapshot import Snapshot
from tests.bench import week
from tests.bench.week import Week

TASKS = 400


class Told:
    """A run of many tasks: its journal, the snapshot that few things stay in, and one in which all do."""

    def __init__(self, path: Path, snapshot: Snapshot, whole: Snapshot, events: list[e.Event]) -> None:
        self.path, self.snapshot, self.whole, self.events = path, snapshot, whole, events


@pytest.fixture
async def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(week, "CALLS", 2)
    monkeypatch.setattr(week, "TASKS", 5)
    made, whole, events = Week(workers=4, short=True), Snapshot(), list[e.Event]()
    batches = made.batches()
    while made.snapshot.task_counts[t.TaskState.LANDED] < TASKS:
        events += next(batches)
    for event in events:
        fold(whole, event)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(events)
    await journal.close()
    for name, value in (("KEPT", 20), ("OWN", 4), ("HOUR", 0)):
        monkeypatch.setattr(retirement, name, value)
    return Told(tmp_path / "journal.db", few(events), whole, events)


def few(events: list[e.Event]) -> Snapshot:
    snapshot = Snapshot()
    for event in events:
        fold(snapshot, event)
        snapshot.landings.clear()  # the tasks of recent landings stay
    return snapshot


def shown(agent: t.Agent) -> t.Agent:
    """An agent without what the tables do not have."""
    return replace(agent, landings_seen=0, tokens_in_context=0, usage=replace(agent.usage, usd=None))


async def all_below(reader: JournalReader, run: Snapshot, planner: t.AgentId) -> Recalled:
    """Everything below a planner, page by page."""
    found = Recalled()
    while more := await reader.ended_below(planner, (*run.children.get(planner, ()), *found.agents), run.at, 30):
        if not more.agents:
            return found
        assert not found.agents.keys() & more.agents.keys()
        found |= more
    return found


async def test_all_agents_tasks_and_handoffs_are_found_below_their_planners(told: Told) -> None:
    run, whole = told.snapshot, told.whole
    reader = await JournalReader.open(told.path)
    assert run.root is not None
    found = await all_below(reader, run, run.root)
    for planner in [*run.children[run.root], *found.agents]:
        found |= await all_below(reader, run, planner)
    await reader.close()
    assert len(run.agents) < len(whole.agents) / 3
    assert found.agents.keys() == whole.agents.keys() - run.agents.keys()
    assert found.tasks == {id: task for id, task in whole.tasks.items() if id not in run.tasks}
    assert found.handoffs == {id: handoff for id, handoff in whole.handoffs.items() if id not in run.handoffs}
    for id, agent in found.agents.items():
        assert shown(agent) == shown(whole.agents[id])
    for id, retired in found.retired.items():
        below = list(whole.subtree(id))
        assert retired.roles == Counter(agent.role for agent in below[1:])
        assert retired.all_tasks() == Counter(task.state for task in whole.tasks.values() if task.planner == id)
        assert retired.usage.input == sum(agent.usage.input for agent in below[1:])
    shown_run = run.copy()
    found.without(run).put_into(shown_run)
    for name in ("agents", "tasks", "handoffs", "paths", "children", "tasks_of"):
        assert list(getattr(shown_run, name)) == list(getattr(whole, name)) or name in ("paths", "children", "tasks_of")
        assert getattr(shown_run, name).keys() == getattr(whole, name).keys()
    assert shown_run.children == whole.children
    assert shown_run.tasks_of == whole.tasks_of


async def test_older_handoffs_come_with_their_agents_and_all_planners_above(told: Told) -> None:
    run = told.snapshot
    reader = await JournalReader.open(told.path)
    found = await reader.older_handoffs(list(run.handoffs), run.at, 40)
    await reader.close()
    newest = sorted(told.whole.handoffs.keys() - run.handoffs.keys())[-40:]
    assert set(newest) <= found.handoffs.keys()
    shown_run = run.copy()
    found.without(run).put_into(shown_run)
    for handoff in shown_run.handoffs.values():
        assert [each.path for each in shown_run.ancestors(handoff.agent)][-1] == t.ROOT
    assert list(shown_run.handoffs) == sorted(shown_run.handoffs)


async def test_a_replay_sees_only_what_had_ended_then(told: Told) -> None:
    half = told.events[: len(told.events) // 2]
    run = few(half)
    reader = await JournalReader.open(told.path)
    assert run.root is not None
    found = await all_below(reader, run, run.root)
    handoffs = await reader.older_handoffs(list(run.handoffs), run.at, 1_000)
    await reader.close()
    spawned = {event.body.spawned.id for event in half if isinstance(event.body, e.AgentSpawned)}
    assert found.agents.keys() | run.agents.keys() <= spawned
    made = {event.body.handoff.id for event in half if isinstance(event.body, e.HandedOff)}
    assert handoffs.handoffs.keys() | run.handoffs.keys() == made


async def test_a_look_at_the_beginning_does_not_read_what_came_later(told: Told) -> None:
    reader = await JournalReader.open(told.path)
    root, steps = told.snapshot.root, [0]
    assert root is not None

    def count() -> None:
        steps[0] += 1

    await reader._db.set_progress_handler(count, 10)
    taken: list[list[int]] = []
    for at in (told.events[len(told.events) // 10].at, told.events[-1].at):
        taken.append([])
        for ask in (lambda at: reader.ended_below(root, [], at, 2), lambda at: reader.older_handoffs([], at, 20)):
            steps[0] = 0
            assert (await ask(at)).agents
            taken[-1].append(steps[0])
    await reader.close()
    (below, handoffs), (below_at_the_end, handoffs_at_the_end) = taken
    assert below < 1.5 * below_at_the_end
    assert handoffs < 1.5 * handoffs_at_the_end


async def test_counts_and_the_order_of_handoffs_are_read_from_indexes_alone(told: Told) -> None:
    with closing(sqlite3.connect(told.path)) as db:
        for sql in (AGENTS_BELOW, TASKS_BELOW, NEWEST_HANDOFFS):
            rows = db.execute(f"EXPLAIN QUERY PLAN {sql}", ("[]",) * (1 + ("?2" in sql) + ("?3" in sql))).fetchall()
            plan = [step for *_, step in rows if "agents" in step or "tasks" in step or "handoffs" in step]
            assert plan
            assert all("COVERING INDEX" in step for step in plan), plan

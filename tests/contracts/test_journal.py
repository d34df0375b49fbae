"""What every journal must do, whether it is SQLite's or the simulation's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.domain.events import Event, Warned
from engine.domain.types import AgentId
from engine.journal.writer import SqliteJournal
from engine.ports.protocols import Journal
from tests.engine.journal.stories import story
from tests.simulated.disk import Disk
from tests.simulated.journal import MemoryJournal
from tests.simulated.power import Power
from tests.simulated.time import SimulatedClock

Open = Callable[[Path], Awaitable[Journal]]


async def in_sqlite(folder: Path) -> Journal:
    return await SqliteJournal.open(folder / "journal.db")


async def in_memory(_: Path) -> Journal:
    return MemoryJournal(Power(), Disk(SimulatedClock()), lambda: 0.0)


@pytest.fixture(params=[in_sqlite, in_memory], ids=["sqlite", "memory"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    made = await request.param(tmp_path)
    yield made
    await made.close()


def warned(seq: int, agent: str = "a-1") -> Event:
    return Event(seq, seq, 1, Warned(f"number {seq}"), AgentId(agent))


async def read(journal: Journal, after: int = 0) -> list[Event]:
    return [event async for event in journal.events(after)]


async def test_an_empty_journal_has_no_events(journal: Journal) -> None:
    assert await read(journal) == []
    assert await journal.agent_events(AgentId("a-1")) == []


async def test_what_is_durable_is_read_back_in_order(journal: Journal) -> None:
    events = story(1).events
    for event in events:
        journal.append([event])
    await journal.durable(len(events))
    assert await read(journal) == events


async def test_reading_begins_after_a_number(journal: Journal) -> None:
    journal.append([warned(seq) for seq in range(1, 11)])
    await journal.durable(10)
    assert [event.seq for event in await read(journal, after=7)] == [8, 9, 10]
    assert await read(journal, after=10) == []


async def test_one_agents_events_are_found(journal: Journal) -> None:
    journal.append([warned(1, "a-1"), warned(2, "a-2"), warned(3, "a-1")])
    await journal.durable(3)
    assert [event.seq for event in await journal.agent_events(AgentId("a-1"))] == [1, 3]


async def test_a_planners_ended_tasks_are_found_by_id_and_by_title(journal: Journal) -> None:
    told = story(3, 400)
    whole = told.snapshot
    journal.append(told.events)
    await journal.durable(len(told.events))
    ended = [task for task in whole.tasks.values() if task.ended and task.agent is not None]
    task, open_one = ended[-1], next(task for task in whole.tasks.values() if not task.ended)
    titled = [each for each in ended if each.spec.title == task.spec.title]
    for names in ([task.id], [task.spec.title, open_one.id, "no such task"]):
        found = await journal.ended_tasks(task.planner, names)
        assert task.id in found.tasks
        assert set(found.tasks) <= {each.id for each in titled} | {t.id for t in whole.tasks.values() if t.ended}
        assert open_one.id not in found.tasks
        assert found.tasks[task.id].state is task.state
        its = [each.id for each in whole.agents.values() if each.task == task.id and each.parent == task.planner]
        assert [each.id for each in found.agents.values() if each.task == task.id] == its
        told_off = [each for each in whole.handoffs.values() if each.task == task.id]
        assert [each.text.summary for each in found.handoffs.values() if each.task == task.id] == [
            each.text.summary for each in told_off
        ]
    assert not (await journal.ended_tasks(AgentId("a-other"), [task.id])).tasks


async def test_all_waiters_are_notified(journal: Journal) -> None:
    for seq in range(1, 101):
        journal.append([warned(seq)])
    await asyncio.gather(*(journal.durable(seq) for seq in range(100, 0, -1)))
    assert len(await read(journal)) == 100


async def test_waiting_for_a_durable_event_returns_at_once(journal: Journal) -> None:
    journal.append([warned(1), warned(2)])
    await journal.durable(2)
    for seq in (2, 1, 0):
        with pytest.raises(StopIteration):  # it returns without giving the loop a turn
            journal.durable(seq).send(None)


async def test_a_gap_in_the_sequence_is_refused(journal: Journal) -> None:
    journal.append([warned(1)])
    with pytest.raises((ValueError, AssertionError)):
        journal.append([warned(3)])
    with pytest.raises((ValueError, AssertionError)):
        journal.append([warned(1)])


async def test_an_empty_append_does_nothing(journal: Journal) -> None:
    journal.append([])
    journal.append([warned(1)])
    await journal.durable(1)
    assert len(await read(journal)) == 1

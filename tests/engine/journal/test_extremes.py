"""Every field of every event can hold an extreme value: it is stored, read back, and the run goes on."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from msgspec import Struct
from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.types import AgentId, TaskId
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from tests.engine.journal.bodies import KINDS, strategy
from tests.engine.journal.snapshots import read_snapshot
from tests.engine.journal.stories import story

INTEGERS = (2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 2**64, 10**400)
FLOATS = (float("nan"), float("inf"), float("-inf"), -0.0, 1e308)
TEXTS = ("\ud800", "\0", "\u0301" * 1_000, "x" * 10_000_000)


def plain(kind: type) -> Any:
    """The simplest body of a kind that has something in its lists."""
    options = settings(
        max_examples=300, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    with contextlib.suppress(Exception):
        return find(strategy(kind), lambda body: all(_values(body)), settings=options)
    return find(strategy(kind), lambda body: True, settings=options)


def _values(body: Struct) -> Iterator[bool]:
    for name in body.__struct_fields__:
        value = getattr(body, name)
        yield not isinstance(value, tuple | dict) or len(value) > 0


def extremes(value: Any, field: str = "", texts: tuple[str, ...] = TEXTS[:3]) -> Iterator[Any]:
    """Copies of the value in which one field is extreme."""
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            for extreme in extremes(getattr(value, name), name, texts):
                yield replace(value, **{name: extreme})
    elif isinstance(value, tuple) and value:
        for extreme in extremes(value[0], field, texts):
            yield (extreme, *value[1:])
    elif isinstance(value, dict) and value:
        key = next(iter(value))
        for extreme in extremes(value[key], field, texts):
            yield {**value, key: extreme}
    elif type(value) is int:
        yield from INTEGERS
    elif type(value) is float:
        yield from FLOATS
    elif type(value) is str and field != "role":  # a Literal
        yield from texts


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_an_event_with_an_extreme_field_is_stored_and_read_back(kind: type, tmp_path: Path) -> None:
    bodies = list(extremes(plain(kind)))
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    for seq, body in enumerate(bodies, 1):
        journal.append([e.Event(seq, seq, 1, body, AgentId("a"), TaskId("t"))])
        await journal.durable(seq)
    assert [event.seq async for event in journal.events()] == list(range(1, len(bodies) + 1))
    await journal.close()


async def test_ids_that_no_column_can_hold_are_stored_as_the_nearest(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append([e.Event(1, 2**70, 1, e.Warned("x"), AgentId("a\ud800"), TaskId("t\udfff"), 2**63)])
    await journal.durable(1)
    await journal.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("SELECT at, agent, task, cause FROM events").fetchall() == [
            (2**63 - 1, "a\\ud800", "t\\udfff", 2**63 - 1)
        ]


async def test_a_text_of_ten_megabytes_is_stored(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append([e.Event(1, 1, 1, e.Warned(TEXTS[3]))])
    await journal.durable(1)
    assert [event.body async for event in journal.events()] == [e.Warned(TEXTS[3])]
    await journal.close()


async def test_a_run_whose_task_has_a_priority_beyond_sqlite_opens_again(tmp_path: Path) -> None:
    told = story(3, 200).events[:200]
    wild = [
        replace(event, body=_with_priority(event.body, n))
        for event, n in zip(told, (2**63, -(2**70)) * 100, strict=True)
    ]
    path = tmp_path / "journal.db"
    for half in (wild[:100], wild[100:]):
        journal = await SqliteJournal.open(path)
        journal.append(half)
        await journal.durable(half[-1].seq)
        await journal.close()
    snapshot = await read_snapshot(path)
    assert {task.spec.priority for task in snapshot.tasks.values()} <= {2**63, -(2**70)}
    reader = await JournalReader.open(path)
    assert len([event async for event in reader.stream()]) == 200
    await reader.close()


def _with_priority(body: e.Body, priority: int) -> e.Body:
    match body:
        case e.TaskQueued(queued=task):
            return e.TaskQueued(replace(task, spec=replace(task.spec, priority=priority)))
        case e.TaskAmended(spec=spec):
            return replace(body, spec=replace(spec, priority=priority))
        case _:
            return body

"""A replay shows the state that the live run had, even if the run was killed and resumed."""

import asyncio
import random
from pathlib import Path

import pytest

from engine.domain.events import Event
from engine.journal import writer
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from engine.reports.json_lines import snapshot_line
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests.simulated.exploring import Plan, explore_plan, planned

EVERY = 60
"""Events between two checkpoints: some positions are before the first one, most between two."""
MOMENTS = 10
PLANS = [plan for plan in map(planned, range(400)) if plan.kills > 1 and plan.steps > 2 and len(plan.titles) > 4][:6]
"""Runs that are killed, resumed, steered, paused and partly cancelled."""


def states_of(plan: Plan) -> tuple[list[Event], dict[tuple[int, int], bytes]]:
    """The events that survived, and the live run's state after each step, by epoch and event."""
    states: dict[tuple[int, int], bytes] = {}  # the next epoch reuses the numbers of events that a kill lost

    def seen(snapshot: Snapshot) -> None:
        states[snapshot.epoch, snapshot.seq] = snapshot_line(snapshot)

    return explore_plan(plan, seen).events, states


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: str(plan.seed))
def test_replaying_to_any_event_shows_the_state_of_the_live_run(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "EVERY", EVERY)
    events, states = states_of(plan)
    moments = [(event.epoch, event.seq) for event in events if (event.epoch, event.seq) in states]
    assert {event.epoch for event in events} > {1}

    async def replayed() -> None:
        path = tmp_path / "journal.db"
        journal, snapshot = await SqliteJournal.open(path), Snapshot()
        for event in events:
            fold(snapshot, event)
            journal.append([event])
            journal.checkpoint(snapshot)
            await journal.durable(event.seq)
        await journal.close()
        reader = await JournalReader.open(path)
        for epoch, seq in random.Random(plan.seed).sample(moments, MOMENTS):
            assert snapshot_line(await reader.snapshot(seq)) == states[epoch, seq], f"event {seq}"
        await reader.close()

    asyncio.run(replayed())

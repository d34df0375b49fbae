"""A long run keeps few samples: old ones are rolled up and keep each minute's extremes."""

from pathlib import Path

from engine.domain import events as e
from engine.domain.resource_use import AgentUse, Sample
from engine.domain.types import AgentId
from engine.journal.projections.samples import BACK, KEPT, MINUTE, SECOND, TEN_MINUTES
from engine.journal.writer import SqliteJournal
from tests.engine.journal.tables import rows

HOURS = 26
EVERY = 15 * SECOND
START = 1_700_000_000 * SECOND // TEN_MINUTES * TEN_MINUTES
AGENTS = [AgentId("a-1"), AgentId("a-2")]


def samples() -> list[e.Event]:
    """A sample every 15 seconds; the second agent is there in the first half of every ten minutes."""
    events: list[e.Event] = []
    for number in range(HOURS * 240):
        at = START + number * EVERY
        sample = Sample(memory=1000 + number % 4, memory_free=500 - number % 4, cpu=float(number % 4))
        agents = AGENTS if at % TEN_MINUTES < TEN_MINUTES // 2 else AGENTS[:1]
        uses = {agent: AgentUse(memory=number % 40, cpu=float(number % 40), processes=1) for agent in agents}
        for body in (e.Sampled(sample), e.AgentsSampled(uses)):
            events.append(e.Event(len(events) + 1, at, 1, body, None, None, None))
    return events


async def test_old_samples_are_rolled_up_to_one_a_minute_and_keep_the_extremes(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    events = samples()
    for start in range(0, len(events), 480):  # one transaction per hour
        journal.append(events[start : start + 480])
        await journal.durable(min(start + 480, len(events)))
    await journal.close()
    path = tmp_path / "journal.db"
    newest = events[-1].at
    old = rows(path, "SELECT * FROM samples WHERE at < ?", START + (HOURS - 24) * 60 * MINUTE - MINUTE)
    assert len(old) == (HOURS - 24) * 60 - 1
    assert {(row["memory"], row["memory_free"], row["cpu"]) for row in old} == {(1003, 497, 1.5)}
    kept = rows(path, "SELECT count(*) AS n FROM samples WHERE at >= ?", newest - KEPT)
    assert kept == [{"n": KEPT // EVERY + 1}]
    minutes = rows(path, "SELECT count(*) AS n FROM samples_per_minute")
    assert minutes == [{"n": HOURS * 60}]

    cut = (newest - KEPT) // TEN_MINUTES * TEN_MINUTES
    uses = rows(path, "SELECT * FROM agent_samples WHERE at < ? ORDER BY seq, agent", cut)
    assert [row["agent"] for row in uses] == AGENTS * ((cut - START) // TEN_MINUTES)
    assert {(row["agent"], row["memory"], row["cpu"]) for row in uses} == {("a-1", 39, 19.5), ("a-2", 19, 9.5)}
    assert all(one["seq"] == two["seq"] for one, two in zip(uses[::2], uses[1::2], strict=True))
    assert cut - START > BACK, "what is rolled up is left alone later"

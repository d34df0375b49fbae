"""What samples of the machine and of agents' commands write, and how old samples are rolled up."""

from collections.abc import Iterable

from engine.domain import events as e
from engine.domain.resource_use import AgentUse, Sample
from engine.domain.types import Micros
from engine.journal.blobs import Shelf
from engine.journal.statements import Projections, Statement, Write, insert

PROJECTIONS = Projections()

SECOND = 1_000_000
MINUTE = 60 * SECOND
TEN_MINUTES = 10 * MINUTE
KEPT = 24 * 60 * MINUTE
"""How long every sample is kept. Older ones are rolled up to one a minute, per agent to one every ten minutes."""
BACK = 60 * MINUTE
"""How far back to look for samples that are not rolled up yet: the program may have been stopped."""
OFTEN = 6 * SECOND
"""At least the time between two samples."""

_SAMPLE_FIELDS = Sample.__struct_fields__
_SAMPLE = insert("samples", "seq at " + " ".join(_SAMPLE_FIELDS))
# The maximum of what runs out by growing, the minimum of what runs out by shrinking, else the mean. All columns in
# order.
_ROLL = Statement(
    "samples",
    """INSERT OR REPLACE INTO samples
      SELECT max(seq), max(at), max(memory), min(memory_free), avg(disk_read), avg(disk_write), min(disk_free),
        avg(cpu), avg(cpu_pressure), avg(memory_pressure), avg(io_pressure), max(processes),
        CAST(round(avg(building)) AS INTEGER), CAST(round(avg(gate_waiting)) AS INTEGER), avg(contention),
        CAST(round(avg(model_calls)) AS INTEGER), max(rate_limited_s), avg(starved), avg(cpu_others),
        avg(runnable)
      FROM samples WHERE at >= ?1 AND at < ?2 GROUP BY at / 60000000 HAVING count(*) > 1""",
)
_DROP = Statement(
    "samples",
    """DELETE FROM samples WHERE at >= ?1 AND at < ?2
      AND seq NOT IN (SELECT max(seq) FROM samples WHERE at >= ?1 AND at < ?2 GROUP BY at / 60000000)""",
)

_USE_FIELDS = AgentUse.__struct_fields__
_USE = insert("agent_samples", "seq at agent " + " ".join(_USE_FIELDS))
# By number, the table's order. Rows of agents sampled in one span get the same number.
_ROLL_USES = Statement(
    "agent_samples",
    """INSERT OR REPLACE INTO agent_samples
      SELECT max(max(seq)) OVER span, max(max(at)) OVER span, agent, max(memory), avg(cpu), avg(disk_read),
        avg(disk_write), max(processes), max(gate_s), max(lock_s), max(build_s)
      FROM agent_samples WHERE at >= ?1 AND at < ?2
        AND seq > coalesce((SELECT max(seq) FROM samples WHERE at < ?1), 0)
        AND seq < (SELECT min(seq) FROM samples WHERE at >= ?2)
      GROUP BY at / 600000000, agent WINDOW span AS (PARTITION BY at / 600000000)""",
)
_DROP_USES = Statement(
    "agent_samples",
    """WITH old AS (
        SELECT seq, at FROM agent_samples WHERE at >= ?1 AND at < ?2
          AND seq > coalesce((SELECT max(seq) FROM samples WHERE at < ?1), 0)
          AND seq < (SELECT min(seq) FROM samples WHERE at >= ?2)
      )
      DELETE FROM agent_samples WHERE seq IN (SELECT seq FROM old)
        AND seq NOT IN (SELECT max(seq) FROM old GROUP BY at / 600000000)""",
)


@PROJECTIONS.of(e.Sampled)
def _(event: e.Event, body: e.Sampled, shelf: Shelf) -> Iterable[Write]:
    yield _SAMPLE, (event.seq, event.at, *(getattr(body.sample, name) for name in _SAMPLE_FIELDS))
    if event.at % MINUTE < OFTEN:
        yield from _roll(event.at, MINUTE, _ROLL, _DROP)


@PROJECTIONS.of(e.AgentsSampled)
def _(event: e.Event, body: e.AgentsSampled, shelf: Shelf) -> Iterable[Write]:
    for agent, use in body.uses.items():
        yield _USE, (event.seq, event.at, agent, *(getattr(use, name) for name in _USE_FIELDS))
    if event.at % TEN_MINUTES < MINUTE:
        yield from _roll(event.at, TEN_MINUTES, _ROLL_USES, _DROP_USES)


def _roll(now: Micros, span: int, *statements: Statement) -> Iterable[Write]:
    """Roll up whole spans only."""
    until = (now - KEPT) // span * span
    for statement in statements:
        yield statement, (until - BACK, until)

"""The queries behind the screens: read-only, paged, limited in time."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import json

from engine.domain.resource_use import Sample
from engine.domain.types import AgentId, Break, Check, Handoff, HandoffId, HandoffText, Landing, Micros, Scratchpad
from engine.journal.blobs import BlobMissing, blob
from engine.journal.connection import damaged
from engine.journal.reading import MOST, EventReader
from engine.journal.rows import (
    CheckRow,
    ErrorRateRow,
    Followed,
    IntentRow,
    MessageRow,
    RunRow,
    SampleRow,
    TaskRow,
    ToolCallRow,
)
from engine.journal.run_row import RUN
from engine.state.snapshot import Snapshot

_CALLS = """SELECT c.seq, c.id, c.agent, c.task, c.tool, c.state, c.target, c.writes, c.arguments, c.arguments_size,
  c.arguments_blob, m.text AS answer, m.blob AS answer_blob, c.answer_size, c.paths, c.started, c.ended, c.wall_s,
  c.gate_wait_s FROM tool_calls c LEFT JOIN messages m ON m.id = c.answer"""

_LAST = "\U0010ffff"
"""Sorts after every id."""

_T = TypeVar("_T")


class JournalReader(EventReader):
    """An EventReader that also answers the screens' queries."""

    async def run(self) -> RunRow | None:
        """The run's row; None before its first event."""
        rows = await self._named(RUN)
        return self._convert(rows[0], RunRow) if rows else None

    async def messages(
        self, agent: AgentId, *, before: int | None = None, limit: int = 100, whole: bool = False
    ) -> tuple[MessageRow, ...]:
        """The newest messages of an agent's conversation with ids below `before`, oldest first.

        Texts are cut at 4 KB unless `whole`.
        """
        rows = await self._named(
            "SELECT * FROM messages WHERE agent = ? AND id < ? ORDER BY id DESC LIMIT ?",
            (agent, before or 2**62, min(limit, MOST)),
        )
        blobs = await self._load({row["blob"] for row in rows if row["blob"]} if whole else set())
        for row in rows:
            row["whole"] = whole or not row["blob"]
            self._fill(row, "text", row["blob"], blobs)
        return tuple(self._convert(row, MessageRow) for row in reversed(rows))

    async def tool_calls(
        self, agent: AgentId | None = None, *, before: int | None = None, limit: int = 100, whole: bool = False
    ) -> tuple[ToolCallRow, ...]:
        """The newest tool calls of one agent or of all with sequence numbers below `before`, newest first."""
        rows = await self._named(
            f"{_CALLS} WHERE c.seq < ? ORDER BY c.seq DESC LIMIT ?"
            if agent is None
            else f"{_CALLS} WHERE c.seq < ? AND c.agent = ? ORDER BY c.seq DESC LIMIT ?",
            [part for part in (before or 2**62, agent, min(limit, MOST)) if part is not None],
        )
        hashes = {row[name] for row in rows for name in ("arguments_blob", "answer_blob") if row[name]}
        blobs = await self._load(hashes if whole else set())
        for row in rows:
            self._fill(row, "arguments", row["arguments_blob"], blobs)
            self._fill(row, "answer", row["answer_blob"], blobs)
        return tuple(self._convert(row, ToolCallRow) for row in rows)

    async def scratchpads(self, agent: AgentId, *, limit: int = 50) -> tuple[Scratchpad, ...]:
        """The newest versions of an agent's scratchpad, newest first, whole."""
        rows = await self._named(
            "SELECT * FROM scratchpads WHERE agent = ? ORDER BY version DESC LIMIT ?", (agent, min(limit, MOST))
        )
        blobs = await self._load({row["blob"] for row in rows if row["blob"]})
        for row in rows:
            self._fill(row, "text", row["blob"], blobs)
        return tuple(self._convert(row, Scratchpad) for row in rows)

    async def samples(self, *, since: Micros = 0, limit: int = 1_000) -> tuple[SampleRow, ...]:
        """The newest samples taken at or after `since`, oldest first."""
        rows = await self._named(
            "SELECT * FROM samples WHERE at >= ? ORDER BY at DESC LIMIT ?", (since, min(limit, MOST))
        )
        return tuple(SampleRow(row["seq"], row["at"], self._convert(row, Sample)) for row in reversed(rows))

    async def spread_samples(self, points: int, *, until: Micros | None = None) -> tuple[SampleRow, ...]:
        """About `points` samples, evenly spread over the run up to `until`, oldest first."""
        rows = await self._named(
            "WITH seen AS (SELECT seq, at FROM samples WHERE at <= ?1),"
            " run AS (SELECT min(at) AS began, max(1, (max(at) - min(at)) / ?2) AS step FROM seen)"
            " SELECT * FROM samples WHERE seq IN (SELECT max(seq) FROM seen, run GROUP BY (at - began) / step)"
            " ORDER BY seq",
            (2**62 if until is None else until, max(1, min(points, MOST))),
        )
        return tuple(SampleRow(row["seq"], row["at"], self._convert(row, Sample)) for row in rows)

    async def handoff(self, id: HandoffId) -> Handoff | None:
        rows = await self._named("SELECT * FROM handoffs WHERE id = ?", (id,))
        return self._handoff(rows[0]) if rows else None

    async def handoffs(self, *, before: HandoffId | None = None, limit: int = 100) -> tuple[Handoff, ...]:
        """The newest handoffs, or those before `before`, newest first."""
        rows = await self._named(
            "SELECT * FROM handoffs WHERE id < ? ORDER BY id DESC LIMIT ?", (before or _LAST, min(limit, MOST))
        )
        return tuple(self._handoff(row) for row in rows)

    async def tasks(self, agent: AgentId, *, limit: int = 200) -> tuple[TaskRow, ...]:
        """The newest tasks that an agent spawned or works on, newest first."""
        rows = await self._named(
            'SELECT *, commit_oid AS "commit" FROM tasks WHERE planner = ? OR agent = ? ORDER BY id DESC LIMIT ?',
            (agent, agent, min(limit, MOST)),
        )
        return tuple(self._convert(row, TaskRow) for row in rows)

    async def followed(self, handoff: HandoffId) -> Followed:
        """The planner's turn that a handoff fed, and the tasks that this turn spawned."""
        inbox = await self._query("SELECT agent, consumed FROM inbox WHERE handoff = ?", (handoff,))
        if not inbox or inbox[0][1] is None:
            return Followed()
        planner, turn = inbox[0]
        said = await self._named(
            "SELECT * FROM messages WHERE agent = ? AND role = 'assistant' AND id >= ? ORDER BY id LIMIT 2",
            (planner, turn * 2),
        )
        for row in said:
            row["whole"] = not row["blob"]
        if not said or said[0]["seq"] != turn:
            return Followed()
        until = said[1]["seq"] if len(said) > 1 else 2**62
        tasks = await self._named(
            'SELECT *, commit_oid AS "commit" FROM tasks WHERE id IN (SELECT task FROM events '
            "WHERE agent = ? AND kind = 'task_queued' AND seq > ? AND seq < ?) ORDER BY id",
            (planner, turn, until),
        )
        return Followed(self._convert(said[0], MessageRow), tuple(self._convert(row, TaskRow) for row in tasks))

    async def landings(self, *, limit: int = 100) -> tuple[Landing, ...]:
        """The newest finished landings, newest first."""
        rows = await self._named(
            'SELECT *, commit_oid AS "commit" FROM landings WHERE state IS NOT NULL ORDER BY id DESC LIMIT ?',
            (min(limit, MOST),),
        )
        return tuple(self._convert(row, Landing) for row in rows)

    async def checks(self, *, limit: int = 100) -> tuple[CheckRow, ...]:
        """The newest checks of trunk, newest first, with their whole output."""
        rows = await self._named(
            'SELECT *, commit_oid AS "commit" FROM greens ORDER BY seq DESC LIMIT ?', (min(limit, MOST),)
        )
        blobs = await self._load({row["blob"] for row in rows if row["blob"]})
        for row in rows:
            self._fill(row, "output", row["blob"], blobs)
            row["passed"], row["wall_s"] = bool(row["passed"]), row["wall_s"] or 0.0
        return tuple(CheckRow(row["seq"], self._convert(row, Check), row["moved"]) for row in rows)

    async def intents(self) -> tuple[IntentRow, ...]:
        """Every version of the intent, oldest first, with the tasks it led to and those still open."""
        rows = await self._named(
            """WITH t AS (SELECT intent, state, count(*) AS tasks FROM tasks GROUP BY intent, state)
            SELECT i.version, i.at, i.author, i.text, coalesce(sum(t.tasks), 0) AS tasks,
              coalesce(sum(t.tasks) FILTER (WHERE t.state = 'landed'), 0) AS landed,
              coalesce(sum(t.tasks) FILTER (WHERE t.state = 'failed'), 0) AS failed,
              coalesce(sum(t.tasks) FILTER (WHERE t.state = 'cancelled'), 0) AS cancelled,
              coalesce(sum(t.tasks) FILTER (WHERE t.state IN ('queued', 'working', 'landing')), 0) AS open,
              (SELECT count(*) FROM tasks m WHERE m.cancelled_under = i.version AND m.cancelled_under > 0
                AND m.intent < i.version) AS moot,
              (SELECT count(*) FROM agents a WHERE a.intent = i.version AND a.role = 'planner' AND a.ended IS NULL)
                AS planners
            FROM intents i LEFT JOIN t ON t.intent = i.version GROUP BY i.version ORDER BY i.version"""
        )
        return tuple(self._convert(row, IntentRow) for row in rows)

    async def breaks(self, *, limit: int = 100) -> tuple[Break, ...]:
        """The breaks of trunk, newest first."""
        rows = await self._named("SELECT * FROM breaks ORDER BY seq DESC LIMIT ?", (min(limit, MOST),))
        return tuple(self._convert(row, Break) for row in rows)

    async def error_rate(self, *, span: Micros = 3_600_000_000, limit: int = 200) -> tuple[ErrorRateRow, ...]:
        """Failed checks of trunk per `span` microseconds: the newest spans, oldest first."""
        rows = await self._named(
            """SELECT at / ?1 * ?1 AS at, count(*) AS snapshots, sum(NOT passed) AS failed, max(failing) AS failing
            FROM greens WHERE purpose = 'snapshot' GROUP BY at / ?1 ORDER BY at DESC LIMIT ?2""",
            (max(1, span), min(limit, MOST)),
        )
        return tuple(self._convert(row, ErrorRateRow) for row in reversed(rows))

    # --- rows into values --------------------------------------------------------------------------------

    def _fill(self, row: dict[str, Any], name: str, hash: str | None, blobs: dict[str, bytes]) -> None:
        if hash and blobs:
            try:
                row[name] = blob(hash, blobs).decode()
            except BlobMissing as error:
                raise damaged(self.path, str(error)) from error

    def _handoff(self, row: dict[str, Any]) -> Handoff:
        row["commit"], row["text"] = row["commit_oid"], self._convert(row, HandoffText)
        return self._convert(row, Handoff)

    def _convert(self, row: dict[str, Any], kind: type[_T]) -> _T:
        """A row as a frozen value. JSON columns are decoded; columns without a field are ignored."""
        for name in ("models", "paths", "conflicts", "calls", "failed_tests", "suspects", "tasks"):
            if isinstance(row.get(name), str):
                row[name] = json.decode(row[name])
        try:
            return msgspec.convert(row, kind, strict=False, from_attributes=True)
        except msgspec.ValidationError as error:
            raise damaged(self.path, f"a row of {kind.__name__}: {error}") from error


async def read_snapshot(path: Path, until: int | None = None) -> Snapshot:
    """The fold of a journal's events, up to the sequence number `until` if given.

    Raises SwarmError (not_found, journal).
    """
    reader = await JournalReader.open(path)
    try:
        return await reader.snapshot(until)
    finally:
        await reader.close()

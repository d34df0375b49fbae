"""The queries behind the screens: read-only, paged, limited in time.

Lists of live agents, tasks and handoffs come from the snapshot instead; SQL over their tables is in docs/journal.md.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import json

from engine.domain.resource_use import Sample
from engine.domain.types import AgentId, HandoffId, Micros, Scratchpad
from engine.journal.blobs import BlobMissing, blob
from engine.journal.failures import damaged
from engine.journal.reading import MOST
from engine.journal.recall import RecallingReader
from engine.journal.rows import Followed, MessageRow, TaskRow, ToolCallRow


class JournalReader(RecallingReader):
    """A reader of events that also answers the screens' queries."""

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
        if whole:
            await self._complete(rows)
        return tuple(self._message(row, whole) for row in reversed(rows))

    async def last_call(self, agent: AgentId, *, before: int | None = None) -> ToolCallRow | None:
        """An agent's newest tool call with a sequence number below `before`."""
        rows = await self._named(
            "SELECT c.tool, c.target, m.text AS answer, c.started, c.ended FROM tool_calls c "
            "LEFT JOIN messages m ON m.id = c.answer WHERE c.agent = ? AND c.seq < ? ORDER BY c.seq DESC LIMIT 1",
            (agent, before or 2**62),
        )
        return self._convert(rows[0], ToolCallRow) if rows else None

    async def scratchpads(self, agent: AgentId, *, limit: int = 50) -> tuple[Scratchpad, ...]:
        """The newest versions of an agent's scratchpad, newest first, whole."""
        rows = await self._named(
            "SELECT * FROM scratchpads WHERE agent = ? ORDER BY version DESC LIMIT ?", (agent, min(limit, MOST))
        )
        await self._complete(rows)
        return tuple(self._convert(row, Scratchpad) for row in rows)

    async def spread_samples(self, points: int, *, until: Micros | None = None) -> tuple[tuple[Micros, Sample], ...]:
        """About `points` samples with their times, evenly spread over the run up to `until`, oldest first."""
        rows = await self._named(
            "WITH seen AS (SELECT seq, at FROM samples WHERE at <= ?1),"
            " run AS (SELECT min(at) AS began, max(1, (max(at) - min(at)) / ?2) AS step FROM seen)"
            " SELECT * FROM samples WHERE seq IN (SELECT max(seq) FROM seen, run GROUP BY (at - began) / step)"
            " ORDER BY seq",
            (2**62 if until is None else until, max(1, min(points, MOST))),
        )
        return tuple((row["at"], self._convert(row, Sample)) for row in rows)

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
        if not said or said[0]["seq"] != turn:
            return Followed()
        until = said[1]["seq"] if len(said) > 1 else 2**62
        tasks = await self._named(
            "SELECT id, title, state FROM tasks WHERE id IN (SELECT task FROM events "
            "WHERE agent = ? AND kind = 'task_queued' AND seq > ? AND seq < ?) ORDER BY id",
            (planner, turn, until),
        )
        return Followed(self._message(said[0]), tuple(self._convert(row, TaskRow) for row in tasks))

    # --- rows into values --------------------------------------------------------------------------------

    async def _complete(self, rows: Sequence[dict[str, Any]]) -> None:
        """Replace the heads of large texts by the whole texts."""
        blobs = await self._load({row["blob"] for row in rows if row["blob"]})
        for row in rows:
            if row["blob"] and blobs:
                try:
                    row["text"] = blob(row["blob"], blobs).decode()
                except (BlobMissing, UnicodeDecodeError) as error:
                    raise damaged(self.path, str(error)) from error

    def _message(self, row: dict[str, Any], whole: bool = False) -> MessageRow:
        try:
            row["whole"], row["calls"] = whole or not row["blob"], json.decode(row["calls"])
        except (msgspec.MsgspecError, TypeError, RecursionError) as error:
            raise damaged(self.path, f"the calls of message {row['id']}: {error}") from error
        return self._convert(row, MessageRow)

"""Reads agents that have left memory back from the journal's tables, with their tasks and handoffs."""

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import json
from msgspec.structs import replace

from engine.domain.types import Agent, AgentId, AgentState, Handoff, HandoffId, Micros, Role, Task, TaskState, Usage
from engine.journal.failures import damaged
from engine.journal.reading import EventReader
from engine.journal.run_row import LAST_TIME
from engine.state.recalled import Recalled
from engine.state.retired import Retired

_T = TypeVar("_T")

PAGE = 25
"""Agents or handoffs that are read at a time, with the counts of planners among them: a screen waits for these."""
NAMED = 200
"""Tasks of one planner that are read at a time."""
_PLANNERS = """WITH RECURSIVE planners(top, id) AS (
    SELECT value, value FROM json_each(?1) UNION ALL
    SELECT top, agents.id FROM planners JOIN agents ON parent = planners.id WHERE role = 'planner')"""
AGENTS_BELOW = f"""{_PLANNERS}
  SELECT top, role, state, parent = top AS own, count(*) AS number, sum(input_tokens) AS input,
    sum(output_tokens) AS output, sum(usd) AS usd, count(usd) AS priced
  FROM planners JOIN agents ON parent = planners.id WHERE ended <= ?2 GROUP BY 1, 2, 3, 4"""  # noqa: S608 - constants
TASKS_BELOW = f"""{_PLANNERS}
  SELECT top, state, count(*) AS number, count(commit_oid) AS commits
  FROM planners JOIN tasks ON planner = planners.id WHERE ended <= ?2 GROUP BY 1, 2"""  # noqa: S608 - constants
NEWEST_HANDOFFS = """SELECT agent FROM handoffs WHERE at <= ?1 AND id NOT IN (SELECT value FROM json_each(?2))
  ORDER BY at DESC, id DESC LIMIT ?3"""
_NEWEST_AGENT = """coalesce((SELECT rowid FROM agents WHERE id = (SELECT agent FROM events
  WHERE kind = 'agent_spawned' AND agent IS NOT NULL AND seq <= ?5 ORDER BY seq DESC LIMIT 1)), 0)"""
"""The newest agent that a replay knows. Without it, all that came later would be read first."""


class RecallingReader(EventReader):
    """An EventReader that also reads back what has left memory."""

    async def ended_below(
        self, planner: AgentId, known: Collection[AgentId], at: Micros, limit: int = PAGE
    ) -> Recalled:
        """The newest agents directly below a planner that had ended by a time, except for known ones."""
        rows = await self._named(
            f"SELECT * FROM agents WHERE parent = ?1 AND ended <= ?2 AND rowid <= {_NEWEST_AGENT} "  # noqa: S608
            "AND id NOT IN (SELECT value FROM json_each(?3)) ORDER BY rowid DESC LIMIT ?4",
            (planner, at, _listed(known), limit, await self.seq_at(at)),
        )
        return await self._recalled(rows, at)

    async def older_handoffs(self, known: Collection[HandoffId], at: Micros, limit: int = PAGE) -> Recalled:
        """The newest handoffs at a time, except for known ones, with their agents and all planners above them."""
        rows = await self._named(NEWEST_HANDOFFS, (at, _listed(known), limit))
        above = await self._named(
            "WITH RECURSIVE above(id) AS (SELECT value FROM json_each(?) UNION "
            "SELECT parent FROM agents JOIN above USING (id) WHERE parent IS NOT NULL) "
            "SELECT * FROM agents WHERE id IN (SELECT id FROM above)",
            (_listed({row["agent"] for row in rows}),),
        )
        return await self._recalled(above, at)

    async def ended_tasks(self, planner: AgentId, names: Collection[str]) -> Recalled:
        """The ended tasks of a planner with these ids or titles, with their agents and handoffs."""
        wanted = _listed(names)
        rows = await self._named(
            "SELECT * FROM tasks WHERE planner = ?1 AND ended IS NOT NULL AND (id IN (SELECT value FROM json_each(?2)) "
            "OR title IN (SELECT value FROM json_each(?2))) ORDER BY id DESC LIMIT ?3",
            (planner, wanted, NAMED),
        )
        tasks = [self._convert(_task(row), Task) for row in reversed(rows)]
        agents = await self._named(
            "SELECT * FROM agents WHERE parent = ? AND task IN (SELECT value FROM json_each(?))",
            (planner, _listed([task.id for task in tasks])),
        )
        found = await self._recalled(agents, LAST_TIME)
        return replace(found, tasks={task.id: task for task in tasks})

    async def _recalled(self, rows: Sequence[dict[str, Any]], at: Micros) -> Recalled:
        agents = sorted((self._convert(_agent(row), Agent) for row in rows), key=lambda agent: agent.id)
        ids = _listed([agent.id for agent in agents])
        tasks = [
            self._convert(_task(row), Task)
            for row in await self._named(
                "SELECT * FROM tasks WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
                (_listed([agent.task for agent in agents if agent.task]),),
            )
        ]
        found = await self._named(
            "SELECT * FROM handoffs WHERE agent IN (SELECT value FROM json_each(?)) AND at <= ? ORDER BY id", (ids, at)
        )
        handoffs = [self._convert(_handoff(row), Handoff) for row in found]
        gone = (agent for agent in agents if agent.role is Role.PLANNER and agent.parent and agent.ended)
        planners = [planner.id for planner in gone if (planner.ended_at or 0) <= at]  # others are in the snapshot
        return Recalled(
            {agent.id: agent for agent in agents},
            {task.id: task for task in tasks},
            {handoff.id: handoff for handoff in handoffs},
            await self._below(planners, at),
            {row["id"]: row["resolved"] for row in found if row["resolved"] is not None},
        )

    async def _below(self, planners: Collection[AgentId], at: Micros) -> dict[AgentId, Retired]:
        """The counts of what is below each planner, without telling its own tasks from those further down."""
        found = dict.fromkeys(planners, Retired())
        for row in await self._named(AGENTS_BELOW, (_listed(planners), at)):
            number, role, state = row["number"], Role(row["role"]), AgentState(row["state"])
            usd = (row["usd"] or 0.0) if row["priced"] == number else None
            usage = Usage(row["input"], 0, row["output"], usd)
            own = {role: number} if row["own"] else {}
            found[row["top"]] += Retired({}, {}, {state: number}, {role: number}, own, 0, usage)
        for row in await self._named(TASKS_BELOW, (_listed(planners), at)):
            found[row["top"]] += Retired({TaskState(row["state"]): row["number"]}, commits=row["commits"])
        return found

    def _convert(self, row: dict[str, Any], kind: type[_T]) -> _T:
        """A row as a frozen value; columns without a field are ignored."""
        try:
            return msgspec.convert(row, kind, strict=False)
        except msgspec.ValidationError as error:
            raise damaged(self.path, f"a row of {kind.__name__}: {error}") from error


def _agent(row: dict[str, Any]) -> dict[str, Any]:
    names = {"input_tokens": "input", "cached_tokens": "cached", "output_tokens": "output", "usd": "usd"}
    times = {"spawned_at": row["spawned"], "stepped_at": row["stepped"] or 0, "ended_at": row["ended"]}
    return {**row, **times, "paused": False, "usage": {name: row[column] for column, name in names.items()}}


def _task(row: dict[str, Any]) -> dict[str, Any]:
    times = {"queued_at": row["queued"], "ended_at": row["ended"]}
    more = {"commit": row["commit_oid"], "directions": json.decode(row["directions"])}
    return {**row, **times, **more, "spec": {**row, "after": json.decode(row["after_tasks"])}}


def _handoff(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "text": row, "commit": row["commit_oid"], "by_engine": bool(row["by_engine"])}


def _listed(ids: Collection[str]) -> str:
    return json.encode(sorted(ids)).decode()

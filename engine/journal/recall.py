"""Reads agents that have left memory, their tasks and their handoffs, back from the journal's tables."""

from collections import Counter
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

PAGE = 200
"""Agents or handoffs that are read at a time."""
_AGENTS_BELOW = """SELECT role, state, parent = ?2 AS own, count(*) AS number, sum(input_tokens) AS input,
    sum(output_tokens) AS output, sum(usd) AS usd, count(usd) AS priced
  FROM agents WHERE path > ?1 || '/' AND path < ?1 || '0' AND ended <= ?3 GROUP BY 1, 2, 3"""
_TASKS_BELOW = """SELECT state, count(*) AS number, count(commit_oid) AS commits FROM tasks
  WHERE ended <= ?2 AND planner IN (
    SELECT id FROM agents WHERE role = 'planner' AND (path = ?1 OR path > ?1 || '/' AND path < ?1 || '0')
  ) GROUP BY 1"""
"""Below a path come those that begin with it and `/`; `0` is the next character."""


class RecallingReader(EventReader):
    """An EventReader that also reads back what has left memory."""

    async def ended_below(
        self, planner: AgentId, known: Collection[AgentId], at: Micros, limit: int = PAGE
    ) -> Recalled:
        """The newest agents directly below a planner that had ended at a time, without those that are known."""
        rows = await self._named(
            "SELECT * FROM agents WHERE parent = ? AND ended <= ? AND id NOT IN (SELECT value FROM json_each(?)) "
            "ORDER BY rowid DESC LIMIT ?",
            (planner, at, _listed(known), limit),
        )
        return await self._recalled(rows, at)

    async def older_handoffs(self, known: Collection[HandoffId], at: Micros, limit: int = PAGE) -> Recalled:
        """The newest handoffs at a time without those that are known, with their agents and all planners above them."""
        rows = await self._named(
            "SELECT agent FROM handoffs WHERE at <= ? AND id NOT IN (SELECT value FROM json_each(?)) "
            "ORDER BY id DESC LIMIT ?",
            (at, _listed(known), limit),
        )
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
            (planner, wanted, PAGE),
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
        planners = [agent for agent in agents if agent.role is Role.PLANNER and agent.ended]
        return Recalled(
            {agent.id: agent for agent in agents},
            {task.id: task for task in tasks},
            {handoff.id: handoff for handoff in handoffs},
            {planner.id: await self._below(planner, at) for planner in planners},
            {row["id"]: row["resolved"] for row in found if row["resolved"] is not None},
        )

    async def _below(self, planner: Agent, at: Micros) -> Retired:
        """The counts of what is below a planner. Its own tasks are not told apart from those further down."""
        agents = await self._named(_AGENTS_BELOW, (planner.path, planner.id, at))
        tasks = await self._named(_TASKS_BELOW, (planner.path, at))
        states, roles, children = Counter[AgentState](), Counter[Role](), Counter[Role]()
        usage = Usage()
        for row in agents:
            number, role = row["number"], Role(row["role"])
            states[AgentState(row["state"])] += number
            roles[role] += number
            children[role] += number if row["own"] else 0
            usd = (row["usd"] or 0.0) if row["priced"] == number else None
            usage += Usage(row["input"], 0, row["output"], usd)
        ended = {TaskState(row["state"]): row["number"] for row in tasks}
        return Retired(ended, {}, states, roles, +children, sum(row["commits"] for row in tasks), usage)

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

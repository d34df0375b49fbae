"""Computes totals for a journal whose older schema did not keep them, page by page."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

from msgspec import DecodeError, ValidationError, json

from engine.domain import events as e
from engine.domain.settings import Settings
from engine.domain.types import CallId, ToolCallState
from engine.journal.body_codec import decode_outline
from engine.journal.projections.agents import pauses
from engine.journal.projections.totals import prompted, used
from engine.journal.statements import Write
from engine.policy.build_commands import is_build

TOTALS = 8
"""The schema version that added totals."""
TABLES = ("tool_use", "prompt_use", "failures", "slow_steps", "pauses")
"""The tables that hold totals."""
PAGE = 1_000
_EVENTS = """SELECT seq, at, epoch, agent, task, cause, CAST(body AS BLOB) FROM events
  WHERE kind = ? AND seq > ? ORDER BY seq LIMIT ?"""
_CALLS = """SELECT c.seq, c.id, c.tool, c.state, c.agent, c.arguments, c.wall_s, c.gate_wait_s, m.text,
  m.seq, m.at, c.epoch, c.task
  FROM tool_calls c JOIN messages m ON m.id = c.answer WHERE c.seq > ? ORDER BY c.seq LIMIT ?"""


Page = tuple[int, list[Write]]
"""The last event of a page, and what the page adds to the totals."""


def _projected(
    kind: str, project: Callable[[e.Event, Any], Iterable[Write]], db: sqlite3.Connection, after: int
) -> Iterator[Page]:
    while rows := db.execute(_EVENTS, (kind, after, PAGE)).fetchall():
        writes: list[Write] = []
        for seq, at, epoch, agent, task, cause, text in rows:
            body = decode_outline(text)
            writes.extend(project(e.Event(seq, at, epoch, body, agent, task, cause), body))
        after = rows[-1][0]
        yield after, writes


def _used(db: sqlite3.Connection, after: int) -> Iterator[Page]:
    """From the first 4 KB of each answer, all that the tables hold; the gate's patterns say which were builds."""
    [[settings]] = db.execute("SELECT coalesce((SELECT settings FROM runs), '{}')")
    gate = _settings(settings).build.gate

    @lru_cache(maxsize=10_000)
    def builds(arguments: str) -> bool:
        return is_build(_command(arguments), gate)

    while rows := db.execute(_CALLS, (after, PAGE)).fetchall():
        writes: list[Write] = []
        for _, id, tool, state, agent, arguments, wall_s, gate_s, answer, seq, at, epoch, task in rows:
            build = tool == "shell" and builds(arguments)
            took = (wall_s or 0.0, gate_s or 0.0, build)
            body = e.ToolFinished(CallId(id), tool, ToolCallState(state), answer, (), *took)
            writes.extend(used(e.Event(seq, at, epoch, body, agent, task), body))
        after = rows[-1][0]
        yield after, writes


PARTS: Mapping[str, Callable[[sqlite3.Connection, int], Iterator[Page]]] = {
    "turns": partial(_projected, "turn_taken", prompted),
    "states": partial(_projected, "agent_state_changed", pauses),
    "calls": _used,
}
"""The parts of the totals; each is added up from the events after a given one."""


def _settings(text: str) -> Settings:
    """The defaults if another version's settings are not valid in this one."""
    try:
        return json.decode(text, type=Settings)
    except (DecodeError, ValidationError):
        return Settings()


def _command(arguments: str) -> str:
    try:
        command = json.decode(arguments).get("command", "")
    except (DecodeError, AttributeError):
        return ""
    return command if isinstance(command, str) else ""

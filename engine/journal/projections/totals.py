"""Totals of model and tool calls, so that a report need not read every call."""

from collections.abc import Iterable
from heapq import nlargest

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.failure_signature import failure_of
from engine.domain.types import ToolCallState
from engine.journal.projections.counts import tokens
from engine.journal.statements import Parameters, Statement, Write, added, insert, total
from engine.state.fold.agents import INDEX_LOCKED


def _totals(table: str, keys: str, sums: str, most: str = "") -> Statement:
    """An upsert that adds `sums` and keeps the maximum of `most`; all columns in the table's order."""
    names = (keys, sums, most)
    adds = [f"{name} = {name} + excluded.{name}" for name in sums.split()]
    adds += [f"{name} = max({name}, excluded.{name})" for name in most.split()]
    rest = f" ON CONFLICT ({', '.join(keys.split())}) DO UPDATE SET {', '.join(adds)}"
    fold = added(len(keys.split()), *[total] * len(sums.split()), *[max] * len(most.split()))
    return replace(insert(table, " ".join(names), rest), fold=fold)


_TOOL_USE = _totals("tool_use", "tool build", "calls errors interrupted index_locked wall_s gate_wait_s", "longest_s")
_PROMPT_USE = _totals(
    "prompt_use", "agent prompt task", "calls priced input_tokens cached_tokens output_tokens usd wall_s"
)
_FAILURE = _totals("failures", "tool error agent", "times")
SLOWEST = 20
"""How many of the slowest steps are kept; a trigger removes the others."""


def _slowest(rows: list[Parameters]) -> list[Parameters]:
    """The steps that can be among the slowest of all; of equal ones, the first."""
    return nlargest(SLOWEST, rows, key=lambda row: (row[-1], -row[0]))


_SLOW = replace(insert("slow_steps", "seq agent tool call wall_s"), fold=_slowest)


def prompted(event: e.Event, turn: e.TurnTaken) -> Iterable[Write]:
    """Add a turn to its agent's usage under its prompt."""
    *counted, usd = tokens(turn.usage)
    who = (event.agent or "", turn.prompt, event.task or "")
    yield _PROMPT_USE, (*who, 1, usd is not None, *counted, usd or 0.0, turn.wall_s)
    yield _SLOW, (event.seq, event.agent or "", "", "", turn.wall_s)


def used(event: e.Event, call: e.ToolFinished) -> Iterable[Write]:
    """Add a call to its tool's totals, to its failure's count and to the slowest steps."""
    tool, state, wall_s, gate_s = call.tool, call.state, call.wall_s, call.gate_wait_s
    failed, cut = state is ToolCallState.ERROR, state is ToolCallState.INTERRUPTED
    locked = tool == "shell" and INDEX_LOCKED in call.answer
    yield _TOOL_USE, (tool, call.build or gate_s > 0, 1, failed, cut, locked, wall_s, gate_s, wall_s)
    if error := failure_of(tool, state, call.answer):
        yield _FAILURE, (tool, error, event.agent or "", 1)
    if tool != "wait":  # its time is spent by others
        yield _SLOW, (event.seq, event.agent or "", tool, call.call, wall_s)

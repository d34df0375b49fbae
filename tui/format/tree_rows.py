"""The agent tree as a flat list of rows: folding, sorting and filtering."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple

from tui.bridge import Agent, AgentId, Role, Snapshot
from tui.format.filters import Filter
from tui.format.view import RunCounts


class Order(StrEnum):
    """How siblings are sorted."""

    RUNNING = "running first"
    OLDEST = "oldest first"
    TOKENS = "most tokens"
    COST = "highest cost"
    LATEST = "latest step"
    IDLE = "longest idle"


BY_ACTIVITY = (Order.TOKENS, Order.COST, Order.LATEST, Order.IDLE)
"""Orders in which every step can move an agent."""


class Row(NamedTuple):
    """One visible agent. `matched` is False if it shows only because an agent below it matches the filter.

    If `older` is set, the row stands for this number of ended agents below `agent` that have left memory.
    """

    agent: AgentId
    depth: int
    parent: bool
    folded: bool
    matched: bool = True
    older: int = 0


def _key(run: Snapshot, counts: RunCounts, order: Order) -> Callable[[AgentId], tuple[object, ...]] | None:
    agents, below = run.agents, counts.totals
    match order:
        case Order.RUNNING:
            # Planners first, they are the structure; then running workers; then ended ones, the latest first.
            return lambda id: (
                (a := agents[id]).ended and a.role is not Role.PLANNER,
                a.role is not Role.PLANNER,
                -(a.ended_at or 0) if a.role is not Role.PLANNER else 0,
            )
        case Order.TOKENS:
            return lambda id: (-below[id].tokens,)
        case Order.COST:
            return lambda id: (-below[id].usd, -below[id].tokens)
        case Order.LATEST:
            return lambda id: (-agents[id].stepped_at,)
        case Order.IDLE:
            return lambda id: (agents[id].ended, agents[id].stepped_at or agents[id].spawned_at)
        case Order.OLDEST:
            return None


def flatten(
    run: Snapshot,
    counts: RunCounts,
    *,
    folded: Collection[AgentId] = (),
    order: Order = Order.RUNNING,
    filter: Filter[Agent] | None = None,
    older: Callable[[AgentId], int] = lambda planner: 0,
) -> list[Row]:
    """All visible rows, parents before children. A filter unfolds the planners above its matches.

    `older` is how many agents below a planner have left memory.
    """
    if run.root is None:
        return []
    hits: set[AgentId] | None = None
    shown: set[AgentId] = set()
    if filter:
        hits = {agent.id for agent in run.agents.values() if filter.matches(agent)}
        for hit in hits:
            at: AgentId | None = hit
            while at is not None and at not in shown:
                shown.add(at)
                at = run.agents[at].parent
    key = _key(run, counts, order)
    rows: list[Row] = []
    stack: list[tuple[AgentId, int, int]] = [(id, 0, 0) for id, agent in run.agents.items() if agent.parent is None]
    stack.reverse()
    while stack:
        id, depth, left = stack.pop()
        if left:
            rows.append(Row(id, depth, False, False, False, left))
            continue
        if hits is not None and id not in shown:
            continue
        below = run.children.get(id, ())
        is_folded = hits is None and id in folded
        left = older(id) if hits is None else 0
        rows.append(Row(id, depth, bool(below or left), is_folded, hits is None or id in hits))
        if not is_folded:
            if left:
                stack.append((id, depth + 1, left))
            ordered = sorted(below, key=key) if key is not None else below
            stack.extend((child, depth + 1, 0) for child in reversed(ordered))
    return rows

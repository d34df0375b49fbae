"""Decides which queued task starts next, and which workers take no slot."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from engine.domain.spending import Mark
from engine.domain.types import AgentId, AgentState, Micros, Role, Task, TaskId, TaskState
from engine.policy.budget import may_start
from engine.policy.task_order import lifted, waits_for
from engine.state.snapshot import Snapshot


def next_task(snapshot: Snapshot, queued: Collection[TaskId], working: Iterable[TaskId], now: Micros) -> Task | None:
    """The task to start: highest priority first, then the planner with the fewest running tasks, then the oldest.

    A task cannot start before those that it comes after have landed, if its subtree is paused or has as many workers as
    it may, if its retry delay has not passed, or if a budget is used up. What a task of higher priority waits for
    starts as early as that one would.
    """
    at_work: Counter[AgentId] = Counter(snapshot.tasks[id].planner for id in working)
    full = full_subtrees(snapshot, at_work)
    held: dict[AgentId, bool] = {}
    lift = lifted(snapshot, queued)
    limited = any(mark.mark is Mark.REACHED for mark in snapshot.budget_marks.values())

    def is_held(planner: AgentId) -> bool:
        if planner not in held:
            held[planner] = snapshot.is_paused(planner) or any(
                above.id in full for above in snapshot.ancestors(planner)
            )
        return held[planner]

    ready = (
        task
        for id in queued
        if (task := snapshot.tasks[id]).state is TaskState.QUEUED
        and task.not_before <= now
        and not waits_for(snapshot, task)
        and not is_held(task.planner)
        and not (limited and not may_start(snapshot, task))
    )
    return min(
        ready,
        key=lambda task: (
            -lift.get(task.id, snapshot.priority(task)),
            at_work[task.planner],
            task.queued_at,
            task.id,
        ),
        default=None,
    )


def resting(snapshot: Snapshot) -> int:
    """How many workers are paused or suspended: they have a task, but do not load the machine."""
    return sum(
        agent.role is Role.WORKER
        and not agent.ended
        and (agent.state is AgentState.PAUSED or snapshot.is_frozen(agent.id))
        for agent in snapshot.agents.values()
    )


def full_subtrees(snapshot: Snapshot, at_work: Mapping[AgentId, int]) -> frozenset[AgentId]:
    """The planners whose own limit of workers is reached, given the number of running workers per planner."""
    if not snapshot.workers_below:
        return frozenset()
    left = dict(snapshot.workers_below)
    for planner, count in at_work.items():
        for above in snapshot.ancestors(planner):
            if above.id in left:
                left[above.id] -= count
    return frozenset(id for id, places in left.items() if places <= 0)

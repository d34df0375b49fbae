"""The effects of each version of the intent: the tasks it led to, and what still works on an older version. Pure."""

from collections import Counter

from msgspec import Struct

from engine.domain.types import AgentPath, Intent, Role, TaskId, TaskState
from engine.state.snapshot import Snapshot


class IntentEffect(Struct, frozen=True):
    """The effects of one version.

    `tasks` are the numbers of tasks that were created for it, by state; `moot` are older tasks that planners cancelled
    because of it. `planners` are the paths of the planners that work by it. If there is a newer version, `behind` are
    the tasks for this one that have not ended.
    """

    intent: Intent
    tasks: dict[TaskState, int]
    moot: tuple[TaskId, ...]
    planners: tuple[AgentPath, ...]
    behind: tuple[TaskId, ...]


def intent_effects(snapshot: Snapshot) -> tuple[IntentEffect, ...]:
    """Every version, oldest first."""
    counts: dict[int, Counter[TaskState]] = {}
    moot: dict[int, list[TaskId]] = {}
    behind: dict[int, list[TaskId]] = {}
    newest = snapshot.intents[-1].version if snapshot.intents else 0
    for task in snapshot.tasks.values():
        counts.setdefault(task.intent, Counter())[task.state] += 1
        if task.cancelled_under > task.intent:
            moot.setdefault(task.cancelled_under, []).append(task.id)
        if not task.ended and task.intent < newest:
            behind.setdefault(task.intent, []).append(task.id)
    planners: dict[int, list[AgentPath]] = {}
    for agent in snapshot.agents.values():
        if agent.role is Role.PLANNER and not agent.ended:
            planners.setdefault(agent.intent, []).append(agent.path)
    return tuple(
        IntentEffect(
            intent=intent,
            tasks=dict(counts.get(intent.version, {})),
            moot=tuple(moot.get(intent.version, ())),
            planners=tuple(planners.get(intent.version, ())),
            behind=tuple(behind.get(intent.version, ())),
        )
        for intent in snapshot.intents
    )

"""The order of a planner's tasks: what a task waits for, which tasks are held, and which names form a circle."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from engine.domain.types import AgentId, Task, TaskId, TaskState
from engine.state.snapshot import Snapshot

MET = (TaskState.LANDED, TaskState.UNCHANGED)
LOST = (TaskState.FAILED, TaskState.CANCELLED)
DECIDE = "give each another `after` with `amend_task`, or cancel it"
"""What a planner can do about held tasks."""
WAITING = (TaskState.QUEUED, TaskState.HELD)

After = Mapping[TaskId, Sequence[TaskId]]
"""Tasks with those that they come after."""


def waits_for(snapshot: Snapshot, task: Task) -> tuple[Task, ...]:
    """The tasks that have to land before this one starts."""
    others = (snapshot.tasks.get(id) for id in task.spec.after)
    return tuple(other for other in others if other is not None and other.state not in MET)


def held(
    snapshot: Snapshot, waiting: Iterable[TaskId], lost: Collection[TaskId] = (), changed: After | None = None
) -> dict[TaskId, TaskId]:
    """Which of the waiting tasks are held, each with the lost task behind it, perhaps through other tasks.

    `lost`: tasks that are about to end without landing; `changed`: what tasks are about to come after.
    """
    behind: dict[TaskId, list[TaskId]] = {}
    for id in waiting:
        task = snapshot.tasks.get(id)
        if task is not None and task.state in WAITING and id not in lost:
            for other in (changed or {}).get(id, task.spec.after):
                behind.setdefault(other, []).append(id)
    found: dict[TaskId, TaskId] = {}
    ended = (id for id in behind if id not in lost and id in snapshot.tasks and snapshot.tasks[id].state in LOST)
    for root in [*(id for id in behind if id in lost), *ended]:
        stack = [root]
        while stack:
            for id in behind.get(stack.pop(), ()):
                if id not in found:
                    found[id] = root
                    stack.append(id)
    return found


def held_tasks(snapshot: Snapshot, planner: AgentId) -> list[Task]:
    """The planner's held tasks, oldest first. Those that were just released no longer count."""
    tasks = snapshot.open_tasks(planner)
    now = held(snapshot, [task.id for task in tasks])
    return [task for task in tasks if task.state is TaskState.HELD and task.id in now]


def lifted(snapshot: Snapshot, queued: Iterable[TaskId]) -> dict[TaskId, int]:
    """The priorities of queued tasks that one of higher priority waits for."""
    found: dict[TaskId, int] = {}
    stack = [
        (task, snapshot.priority(task))
        for id in queued
        if (task := snapshot.tasks[id]).spec.after and task.state is TaskState.QUEUED
    ]
    while stack:
        task, priority = stack.pop()
        for other in waits_for(snapshot, task):
            if other.state is TaskState.QUEUED and priority > found.get(other.id, snapshot.priority(other)):
                found[other.id] = priority
                stack.append((other, priority))
    return found


def circle(after: After) -> list[TaskId]:
    """Tasks that come after each other, the first of them again at the end; empty if there is no circle."""
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        found: list[TaskId] = error.args[1]
        return found[::-1]
    return []

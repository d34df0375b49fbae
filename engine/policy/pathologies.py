"""Recognises pathologies of planners and workers, and decides on the remedy.

An agent is nudged the first few times, then limited. The count restarts when the agent waits for outstanding work or
hands off.
"""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentId, Micros, Pathology, Remedy, Task, TaskKind, TaskState
from engine.state.snapshot import Snapshot

NUDGES = 3
"""How often an agent is nudged before it is limited."""
ALONE_NUDGED = 3
ALONE_LIMITED = 6
"""Tasks in a row that were created singly, each after the one before had ended."""
BARREN_NUDGED = 5
BARREN_LIMITED = 10
"""Tasks of one planner in a row that landed nothing."""
NEAR = 0.8
"""The share of a limit on spawning at which the planner is told."""


class Symptom(Struct, frozen=True):
    """A pathology that an agent shows, for the how manyth time since it last behaved well, and the remedy."""

    agent: AgentId
    pathology: Pathology
    times: int
    remedy: Remedy
    detail: str

    @property
    def limited(self) -> bool:
        return self.remedy is Remedy.LIMIT

    @property
    def draft(self) -> Draft:
        return Draft(e.PathologySeen(self.pathology, self.times, self.remedy, self.detail), self.agent)


def found(snapshot: Snapshot, agent: AgentId, pathology: Pathology, detail: str, *, limit: bool = False) -> Symptom:
    """A symptom: the remedy is a nudge, or a limit after NUDGES of them or with `limit`."""
    times = snapshot.pathologies.get(agent, {}).get(pathology, 0) + 1
    return Symptom(agent, pathology, times, Remedy.LIMIT if limit or times > NUDGES else Remedy.NUDGE, detail[:1_000])


def alone_in_a_row(snapshot: Snapshot, planner: AgentId) -> int:
    """How many of the planner's newest tasks were created singly, each after the one before had ended."""
    tasks = _work_of(snapshot, planner)
    if not tasks or tasks[-1].ended_at is None:
        return 0
    row = 1
    for later, earlier in pairwise(reversed(tasks)):
        if earlier.ended_at is None or earlier.ended_at > later.queued_at:
            break
        row += 1
    return row


def barren_in_a_row(snapshot: Snapshot, planner: AgentId) -> list[Task]:
    """The planner's ended tasks since the last one that landed a change, newest first, without cancelled ones."""
    row: list[Task] = []
    tasks = [task for task in _work_of(snapshot, planner) if task.ended and task.state is not TaskState.CANCELLED]
    for task in sorted(tasks, key=lambda task: task.ended_at or 0, reverse=True):
        if task.commit is not None:
            break
        row.append(task)
    return row


def spawned_since(snapshot: Snapshot, planner: AgentId, since: Micros) -> int:
    """How many tasks the planner created since then."""
    count = 0
    for id in reversed(snapshot.tasks_of.get(planner, ())):
        if snapshot.tasks[id].queued_at < since:
            break
        count += 1
    return count


def _work_of(snapshot: Snapshot, planner: AgentId) -> Sequence[Task]:
    """The newest tasks that the planner created, without fixups, oldest first."""
    ids = snapshot.tasks_of.get(planner, ())[-4 * BARREN_LIMITED :]
    return [task for id in ids if (task := snapshot.tasks[id]).kind is TaskKind.WORK]

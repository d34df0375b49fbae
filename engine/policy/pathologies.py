"""What goes wrong with planners and workers as agents, not as programs: how it is told apart, and what follows. Pure.

The first times an agent is nudged; after that a limit holds. An agent that sleeps for what is outstanding, or hands
off, starts afresh.
"""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentId, Micros, Pathology, Remedy, Task, TaskKind, TaskState
from engine.state.snapshot import Snapshot

NUDGES = 3
"""How often an agent is told before a limit holds."""
ALONE_NUDGED = 3
ALONE_LIMITED = 6
"""Tasks in a row that were spawned alone, each after the one before had ended."""
BARREN_NUDGED = 5
BARREN_LIMITED = 10
"""A planner's tasks in a row that landed nothing."""
NEAR = 0.8
"""Share of a bound on spawning at which the planner is told."""


class Symptom(Struct, frozen=True):
    """A pathology of one agent, how often it has shown since the agent's last good move, and what follows now."""

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


def found(
    snapshot: Snapshot, agent: AgentId, pathology: Pathology, detail: str, *, nudges: int = NUDGES, limit: bool = False
) -> Symptom:
    """A nudge, or a limit after so many of them or where `limit` says so."""
    times = snapshot.pathologies.get(agent, {}).get(pathology, 0) + 1
    return Symptom(agent, pathology, times, Remedy.LIMIT if limit or times > nudges else Remedy.NUDGE, detail[:1_000])


def alone_in_a_row(snapshot: Snapshot, planner: AgentId) -> int:
    """How many of the planner's newest tasks were each spawned alone, after the one before had ended."""
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
    """The planner's newest ended tasks, newest first, up to the last one that landed a change; cancelled ones apart."""
    row: list[Task] = []
    tasks = [task for task in _work_of(snapshot, planner) if task.ended and task.state is not TaskState.CANCELLED]
    for task in sorted(tasks, key=lambda task: task.ended_at or 0, reverse=True):
        if task.commit is not None:
            break
        row.append(task)
    return row


def spawned_since(snapshot: Snapshot, planner: AgentId, since: Micros) -> int:
    """Tasks that the planner asked for from a moment on."""
    count = 0
    for id in reversed(snapshot.tasks_of.get(planner, ())):
        if snapshot.tasks[id].queued_at < since:
            break
        count += 1
    return count


def _work_of(snapshot: Snapshot, planner: AgentId) -> Sequence[Task]:
    """The newest tasks that the planner asked for itself, oldest first."""
    ids = snapshot.tasks_of.get(planner, ())[-4 * BARREN_LIMITED :]
    return [task for id in ids if (task := snapshot.tasks[id]).kind is TaskKind.WORK]

"""Removes ended tasks and planners from the snapshot once no decision needs them. Their counts stay, and the journal
has everything.

This is part of the fold, so that a live run, a resumed one and a replay agree on what is there.
"""

from collections import deque
from typing import Any, TypeVar

from engine.domain.spending import of_subtree, of_task
from engine.domain.types import HOUR, Agent, AgentId, HandoffId, Micros, Role, Task, TaskId, TaskKind, TaskState
from engine.state.retired import Retired
from engine.state.snapshot import Snapshot

_Id = TypeVar("_Id", TaskId, AgentId)

KEPT = 1_000
"""The newest ended tasks and planners, which stay in any case."""
OWN = 200
"""The newest tasks and subplanners that a planner at work sees, beside all its tasks of the last hour."""
NEEDING = 200
"""The newest handoffs that need a person, which stay until they are resolved."""
NOTED = 200
"""The newest open notes, whose planners stay so that the person can answer them."""
EXAMINED = 4
"""How many are examined when one ends: more than one, so that their number falls again after many were needed."""


def has_ended(s: Snapshot, id: TaskId | AgentId, at: Micros) -> None:
    """Add an ended task or planner as the newest, and remove the oldest ones that nobody needs.

    One that is needed becomes the newest again, so that each time others are examined. Nothing is removed within the
    batch of events that ends it (these have the same time), because reactions come after the whole batch.
    """
    s.leaving.pop(id, None)
    s.leaving[id] = at
    for _ in range(min(EXAMINED, len(s.leaving) - KEPT)):
        oldest = next(iter(s.leaving))
        ended = s.leaving.pop(oldest)
        if (task := s.tasks.get(TaskId(oldest))) is not None:
            leaves = ended != at and _retire_task(s, task, at)
        else:
            agent = s.agents[AgentId(oldest)]  # one that works again is queued when it ends again
            leaves = not agent.ended or (ended != at and _retire_planner(s, agent))
        if not leaves:
            s.leaving[oldest] = ended


def forget_older_handoffs(s: Snapshot, agent: AgentId) -> None:
    """Keep only the newest handoffs of a planner that is asked again and again."""
    for id in _handoffs(s, None, agent)[:-OWN]:
        _drop_handoff(s, id)


def _retire_task(s: Snapshot, task: Task, at: Micros) -> bool:
    """Remove an ended task with its agents and handoffs. Returns False if somebody may still need it."""
    planner = s.agents[task.planner]
    own = s.tasks_of[planner.id]
    if not planner.ended and (task.queued_at > at - HOUR or task.id in own[-OWN:]):
        return False
    others = (s.tasks[id] for id in own if id != task.id)
    if any(each.replaces == task.id or (not each.ended and task.id in each.spec.after) for each in others):
        return False
    agents = [agent for id in s.children.get(planner.id, ()) if (agent := s.agents[id]).task == task.id]
    handoffs = _handoffs(s, task.id)
    cut_off = task.state is TaskState.CANCELLED and bool(agents) and not handoffs  # recovery hands it off
    if cut_off or not _may_leave(s, *agents) or _awaited(s, planner.id, handoffs):
        return False
    if task.kind is TaskKind.FIXUP and task.queued_at > (s.green_at or 0):
        return False
    if any(landing.task == task.id for landing in s.landings) or (s.broken and task.id in s.broken.tasks):
        return False
    for handoff in handoffs:
        _drop_handoff(s, handoff)
    for agent in agents:
        _drop_agent(s, agent)
    del s.tasks[task.id]
    s.spent.pop(of_task(task.id), None)
    _take_from(s.tasks_of, planner.id, task.id)
    s.retired[planner.id] = s.retired.get(planner.id, Retired()).with_task(task)
    return True


def _retire_planner(s: Snapshot, agent: Agent) -> bool:
    """Remove an ended planner below which nothing is left. Returns False if somebody may still need it."""
    if agent.parent is None or agent.id in s.children or agent.id in s.tasks_of or s.inboxes.get(agent.id):
        return False
    beside = [id for id in s.children[agent.parent] if s.agents[id].role is Role.PLANNER]
    if not s.agents[agent.parent].ended and agent.id in beside[-OWN:]:
        return False
    handoffs = _handoffs(s, None, agent.id)
    if not _may_leave(s, agent) or _awaited(s, agent.parent, handoffs):
        return False
    for handoff in handoffs:
        _drop_handoff(s, handoff)
    _drop_agent(s, agent)
    return True


def _may_leave(s: Snapshot, *agents: Agent) -> bool:
    """Whether agents have ended, and none of the newest open notes is from them or for them."""
    noted = [note for note in s.notes.values() if note.open]
    asking = {note.agent for note in noted[-NOTED:]} | {note.to_agent for note in noted}
    return all(agent.ended and agent.id not in asking for agent in agents)


def _handoffs(s: Snapshot, task: TaskId | None, agent: AgentId | None = None) -> list[HandoffId]:
    """The handoffs of a task, or of a planner, oldest first."""
    return [each.id for each in s.handoffs.values() if each.task == task and agent in (None, each.agent)]


def _awaited(s: Snapshot, planner: AgentId, handoffs: list[HandoffId]) -> bool:
    """Whether one of the handoffs is unread by the planner, or among the newest ones that need a person."""
    unread = any(message.handoff in handoffs for message in s.inboxes.get(planner, ()))
    if unread or not any(s.needs_person(s.handoffs[id]) for id in handoffs):
        return unread
    newest = deque((each.id for each in s.handoffs.values() if s.needs_person(each)), NEEDING)
    return not set(handoffs).isdisjoint(newest)


def _drop_handoff(s: Snapshot, id: HandoffId) -> None:
    del s.handoffs[id]
    s.resolved.pop(id, None)


def _drop_agent(s: Snapshot, agent: Agent) -> None:
    """Remove an agent with all that is kept for it, and count it at its planner."""
    id = agent.id
    assert agent.parent is not None
    del s.agents[id]
    if s.paths.get(agent.path) == id:
        del s.paths[agent.path]
    _take_from(s.children, agent.parent, id)
    by_agent: tuple[dict[AgentId, Any], ...] = (s.inboxes, s.scratchpads, s.shared_findings, s.test_logs, s.pathologies)
    for kept in (*by_agent, s.reopened, s.hot_files_told, s.models_below, s.workers_below, s.uses, s.arriving):
        kept.pop(id, None)
    s.notes = {number: note for number, note in s.notes.items() if note.agent != id}
    s.spent.pop(of_subtree(agent.path), None)
    s.budget_marks.pop(of_subtree(agent.path), None)
    s.contention.move(id, agent.parent)
    s.retired[agent.parent] = s.retired.get(agent.parent, Retired()).with_agent(agent, s.retired.pop(id, None))


def _take_from(of: dict[AgentId, tuple[_Id, ...]], planner: AgentId, id: _Id) -> None:
    if rest := tuple(each for each in of[planner] if each != id):
        of[planner] = rest
    else:
        del of[planner]

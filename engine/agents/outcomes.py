"""What becomes of a task whose attempt was lost or failed: queued again, or given up with a handoff."""

from msgspec.structs import replace

from engine.agents import cancellation, landing
from engine.agents.handoffs import engine_text
from engine.agents.host import Host
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentState, Task, TaskState

LOSSES = 10
"""How often a task may be lost with its agent or the program before it counts as the cause and fails."""
BACKOFF_S = 2.0
"""Seconds before a failed task starts again the first time; doubled each time, up to a minute."""


def lost(host: Host, task: Task, reason: str, *, counts: bool = True, wait_s: float = 0.0) -> tuple[Draft, ...]:
    """The task goes back into the queue through no fault of its own, unless that has happened too often."""
    if task.unwanted:
        return _cancelled(host, task)
    if counts and task.losses + 1 >= LOSSES:
        return given_up(host, task, f"Lost {LOSSES} times: {reason}")
    drafts = _agents_ended(host, task, reason)
    not_before = host.clock.now() + int(wait_s * 1_000_000)
    again = e.TaskRequeued(reason, lost=True, not_before=not_before, counts=counts)
    return (*drafts, Draft(again, task.agent, task.id))


def failed(host: Host, task: Task, reason: str) -> tuple[Draft, ...]:
    """The attempt failed: another one follows, or, after the last, a handoff that says so."""
    if task.unwanted:
        return _cancelled(host, task)
    if task.failures + 1 >= host.settings.task.attempts:
        return given_up(host, task, f"Not done after {task.failures + 1} attempts: {reason}")
    drafts = _agents_ended(host, task, reason)
    wait_s = min(60.0, BACKOFF_S * 2**task.failures)
    not_before = host.clock.now() + int(wait_s * 1_000_000)
    return (*drafts, Draft(e.TaskRequeued(reason, lost=False, not_before=not_before), task.agent, task.id))


def given_up(host: Host, task: Task, summary: str) -> tuple[Draft, ...]:
    """The task has failed for good, with a handoff that the engine writes."""
    others = (draft for draft in _agents_ended(host, task, summary) if draft.agent != task.agent)
    return (*others, *landing.failed(host, task, engine_text(summary), by_engine=True))


def _agents_ended(host: Host, task: Task, reason: str) -> list[Draft]:
    at_it = [agent.id for agent in host.snapshot.agents.values() if agent.task == task.id and not agent.ended]
    return [Draft(e.AgentStateChanged(AgentState.FAILED, reason=reason), id, task.id) for id in at_it]


def _cancelled(host: Host, task: Task) -> tuple[Draft, ...]:
    """The end of a task that was taken back while it landed, and did not land."""
    taken_back = e.TaskEnded(TaskState.CANCELLED, task.unwanted, intent=task.cancelled_under)
    drafts = _agents_ended(host, task, task.unwanted)
    return (
        *drafts,
        Draft(taken_back, task.agent, task.id),
        *cancellation.told(host, replace(task, reason=task.unwanted)),
    )

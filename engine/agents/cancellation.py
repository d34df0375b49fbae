"""Cancels tasks and subtrees: the events of one batch, so that all of it is cancelled or nothing."""

from msgspec.structs import replace

from engine.agents import handoffs
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import Agent, AgentId, AgentState, HandoffStatus, HandoffText, Role, Task, TaskState
from engine.policy.task_order import WAITING
from engine.runtime.recorder import RunRecorder


def cancelled(run: RunRecorder, agent: Agent, reason: str, intent: int = 0) -> tuple[Draft, ...]:
    """Cancel a planner with everything below it, or an agent with its task. Empty if it has ended.

    `intent`: the version under which the planner above cancels it, which then needs no handoff; 0 if a person does.
    """
    if agent.role is Role.PLANNER:
        return _subtree(run, agent, reason, intent, told=not intent)
    task = run.snapshot.tasks[agent.task] if agent.task is not None else None
    if task is None or task.ended:
        return ()
    ends = _task(task, reason, intent)
    if task.state not in WAITING:
        return (ends,)  # its planner gets the handoff when the attempt has stopped
    return (ends, *cancelled_handoff(run, replace(task, reason=reason), agent.id))


def everything_below(run: RunRecorder, planner: AgentId, reason: str, intent: int = 0) -> tuple[Draft, ...]:
    """Cancel all open work of a planner that ends too. There are no handoffs, as nobody would read them."""
    tasks = (_task(task, reason, intent) for task in run.snapshot.open_tasks(planner))
    slices = (_subtree(run, child, reason, intent, told=False) for child in run.snapshot.subplanners(planner))
    return (*tasks, *(draft for drafts in slices for draft in drafts))


def cancelled_handoff(run: RunRecorder, task: Task, agent: AgentId | None = None) -> tuple[Draft, ...]:
    """The handoff that tells a planner about a task that a person cancelled; none if the planner did it, or is gone.

    `agent`: who it is from, if none worked on it.
    """
    if task.cancelled_under or run.snapshot.agents[task.planner].gone:
        return ()
    return handoffs.delivered(run, task, _text(task.reason or "cancelled"), by_engine=True, agent=agent)


def _subtree(run: RunRecorder, planner: Agent, reason: str, intent: int, *, told: bool) -> tuple[Draft, ...]:
    if planner.gone:
        return ()
    ends = Draft(e.AgentStateChanged(AgentState.CANCELLED, reason=reason), planner.id)
    drafts = everything_below(run, planner.id, reason, intent)
    if planner.state is AgentState.DONE or not told:  # it has handed off already, or nobody reads it
        return (*drafts, ends)
    text = _text(reason)
    return (*drafts, *handoffs.slice_delivered(run, planner, text, by_engine=True), ends)


def _text(reason: str) -> HandoffText:
    return HandoffText(HandoffStatus.CANCELLED, f"Cancelled before it was done: {reason}")


def _task(task: Task, reason: str, intent: int) -> Draft:
    """Cancel one task; while it lands, mark it unwanted, so that it is cancelled unless the landing succeeds."""
    if task.state is TaskState.LANDING:
        return Draft(e.TaskUnwanted(reason, intent), task.agent, task.id)
    return Draft(e.TaskEnded(TaskState.CANCELLED, reason, intent=intent), task.agent, task.id)

"""What ends a subtree or a task for good: events of one batch, so that it is wholly cancelled or not at all."""

from msgspec.structs import replace

from engine.agents import handoffs
from engine.agents.host import RunContext
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import Agent, AgentId, AgentState, Role, Task, TaskState


def cancelled(run: RunContext, agent: Agent, reason: str, intent: int = 0) -> tuple[Draft, ...]:
    """The agent with all below it, or with its task; whoever asked for it is told. Empty when it has ended.

    `intent`: the version by which its planner takes it back (0: a person does).
    """
    if agent.role is Role.PLANNER:
        return _subtree(run, agent, reason, intent)
    task = run.snapshot.tasks[agent.task] if agent.task is not None else None
    if task is None or task.ended:
        return ()
    ends = _task(task, reason, intent)
    if task.state is not TaskState.QUEUED:
        return (ends,)  # its planner is told when its attempt has come to its end
    return (ends, *told(run, replace(task, reason=reason), agent.id))


def below(run: RunContext, planner: AgentId, reason: str, intent: int = 0) -> tuple[Draft, ...]:
    """All that a planner has outstanding. What waits in the queue ends without a word: nobody is there to hear it."""
    tasks = (_task(task, reason, intent) for task in run.snapshot.open_tasks(planner))
    slices = (_subtree(run, child, reason, intent) for child in run.snapshot.subplanners(planner))
    return (*tasks, *(draft for drafts in slices for draft in drafts))


def told(run: RunContext, task: Task, agent: AgentId | None = None) -> tuple[Draft, Draft]:
    """The handoff in which a planner hears of a cancelled task; from `agent` where nobody was at it."""
    text = handoffs.engine_text(f"Cancelled before it was done: {task.reason or 'cancelled'}")
    return handoffs.delivered(run, task, text, None, None, by_engine=True, agent=agent)


def _subtree(run: RunContext, planner: Agent, reason: str, intent: int) -> tuple[Draft, ...]:
    if planner.state in (AgentState.FAILED, AgentState.CANCELLED):
        return ()
    ends = Draft(e.AgentStateChanged(AgentState.CANCELLED, reason=reason), planner.id)
    drafts = below(run, planner.id, reason, intent)
    if planner.state is AgentState.DONE:  # it has handed off: there is nothing more to tell
        return (*drafts, ends)
    text = handoffs.engine_text(f"Cancelled before it was done: {reason}", notes=_left(run, planner))
    return (*drafts, *handoffs.slice_delivered(run, planner, text, by_engine=True), ends)


def _task(task: Task, reason: str, intent: int) -> Draft:
    """A landing under way is not torn: the task ends cancelled unless it goes through."""
    if task.state is TaskState.LANDING:
        return Draft(e.TaskUnwanted(reason, intent), task.agent, task.id)
    return Draft(e.TaskEnded(TaskState.CANCELLED, reason, intent=intent), task.agent, task.id)


def _left(run: RunContext, planner: Agent) -> str:
    """What became of a slice's own tasks."""
    tasks = [run.snapshot.tasks[id] for id in run.snapshot.tasks_of.get(planner.id, ())]
    landed = sum(task.state is TaskState.LANDED for task in tasks)
    return f"Tasks landed: {landed}. Tasks still open: {sum(not task.ended for task in tasks)}." if tasks else ""

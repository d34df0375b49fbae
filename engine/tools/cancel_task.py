"""cancel_task: a planner cancels one of its tasks."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Name, Reason
from engine.domain.events import Draft, TaskEnded, TaskHeld
from engine.domain.landing_text import task_state_text
from engine.domain.types import TaskState
from engine.policy.task_names import NamingError, task_named
from engine.policy.task_order import DECIDE, held
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    task: Annotated[Name, Meta(description="Its id, as `spawn_tasks` returned it.")]
    reason: Annotated[Reason, Meta(description="Why; recorded for the user.")] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    mine = await context.own_tasks(arguments.task)
    try:
        task = task_named(mine, arguments.task)
    except NamingError as error:
        return refused(f"not cancelled: {error}")
    if task.ended:
        return refused(f"{task.spec.title} has already ended: {task_state_text(task.state)}")
    if task.state is TaskState.LANDING:
        return refused(f"{task.spec.title} can no longer be cancelled: it is already landing")
    reason = arguments.reason or "cancelled by its planner"
    ended = Draft(TaskEnded(TaskState.CANCELLED, reason, intent=context.agent.intent), task.agent, task.id)
    waiting = held(context.snapshot, [each.id for each in mine], lost=(task.id,))
    behind = [context.snapshot.tasks[id] for id, root in waiting.items() if root == task.id]
    newly = [Draft(TaskHeld(task.id), None, each.id) for each in behind if each.state is TaskState.QUEUED]
    began = "; what its worker did is gone" if task.state is TaskState.WORKING else ""
    lines = [f"cancelled: {task.spec.title}{began}"]
    if behind:
        lines.append(f"held, as they come after it ({DECIDE}):")
        lines += [f"- {each.id} {each.spec.title}" for each in behind]
    return Answer("\n".join(lines), drafts=(ended, *newly))


TOOL = Tool("cancel_task", Arguments, call, writes=True, atomic=True, target=lambda a: a.task)

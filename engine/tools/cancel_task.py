"""cancel_task: a planner cancels one of its tasks."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Name, Reason
from engine.domain.events import Draft, TaskEnded
from engine.domain.types import TaskId, TaskState
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    task: Annotated[Name, Meta(description="Its id, as `spawn_tasks` returned it.")]
    reason: Annotated[Reason, Meta(description="Why; recorded for the user.")] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    task = context.snapshot.tasks.get(TaskId(arguments.task.strip()))
    if task is None or task.planner != context.agent.id:
        return refused(f"you have no task {arguments.task}; use an id that spawn_tasks returned")
    if task.ended:
        return refused(f"{task.spec.title} has already ended: {task.state}")
    if task.state is TaskState.LANDING:
        return refused(f"{task.spec.title} can no longer be cancelled: it is already landing")
    reason = arguments.reason or "cancelled by its planner"
    return Answer(
        f"cancelled: {task.spec.title}",
        drafts=(Draft(TaskEnded(TaskState.CANCELLED, reason, intent=context.agent.intent), task.agent, task.id),),
    )


TOOL = Tool("cancel_task", Arguments, call, writes=True, atomic=True, target=lambda a: a.task)

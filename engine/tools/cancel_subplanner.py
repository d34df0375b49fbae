"""cancel_subplanner: a planner cancels one of its subplanners, with everything below it."""

from collections import Counter
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Name, Reason
from engine.domain.types import TaskState
from engine.policy.task_names import folded
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    subplanner: Annotated[Name, Meta(description="Its title.")]
    reason: Annotated[Reason, Meta(description="Why; recorded for the user.")] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent.id, context.snapshot
    wanted = arguments.subplanner.strip()
    child = snapshot.subplanner(me, wanted) or snapshot.subplanner(me, folded(wanted))
    if child is None:
        titles = ", ".join(each.title for each in snapshot.subplanners(me)) or "none"
        return refused(f"you have no subplanner {wanted}; your subplanners: {titles}")
    below = [snapshot.tasks[id] for each in snapshot.subtree(child.id) for id in snapshot.tasks_of.get(each.id, ())]
    counts = Counter(task.state for task in below)
    open_tasks, landing = sum(not task.ended for task in below), counts[TaskState.LANDING]
    drafts = context.cancelled(child, arguments.reason.strip() or "cancelled by its planner")
    ends = f"open tasks: {open_tasks}{f', of which {landing} may still land' if landing else ''}"
    return Answer(
        f"cancelled: {child.title} ({ends}); its landed tasks stay on trunk: {counts[TaskState.LANDED]}", drafts=drafts
    )


TOOL = Tool("cancel_subplanner", Arguments, call, writes=True, atomic=True, target=lambda a: a.subplanner[:60])

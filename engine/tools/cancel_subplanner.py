"""cancel_subplanner: a planner cancels one of its subplanners, with everything below it."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Name, Reason
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    subplanner: Annotated[Name, Meta(description="Its title.")]
    reason: Annotated[Reason, Meta(description="Why; recorded for the user.")] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent.id, context.snapshot
    wanted = arguments.subplanner.strip()
    child = snapshot.subplanner(me, wanted)
    if child is None:
        titles = ", ".join(each.title for each in snapshot.subplanners(me)) or "none"
        return refused(f"you have no subplanner {wanted}; your subplanners: {titles}")
    open_tasks = sum(len(snapshot.open_tasks(below.id)) for below in snapshot.subtree(child.id))
    drafts = context.cancelled(child, arguments.reason.strip() or "cancelled by its planner")
    return Answer(f"cancelled: {child.title} (open tasks: {open_tasks}); what has landed stays on trunk", drafts=drafts)


TOOL = Tool("cancel_subplanner", Arguments, call, writes=True, atomic=True, target=lambda a: a.subplanner[:60])

"""rescope_subplanner: a planner changes what one of its subplanners owns, or tells it what has changed."""

from msgspec import Struct

from engine.domain.bounds import Instruction, Name
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    subplanner: Name
    message: Instruction
    goal: Instruction = ""
    scope: Instruction = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent.id, context.snapshot
    if not arguments.message.strip():
        return refused("`message` is empty; say what has changed for the subplanner")
    wanted = arguments.subplanner.strip()
    child = snapshot.subplanner(me, wanted)
    if child is None:
        titles = ", ".join(each.title for each in snapshot.subplanners(me)) or "none"
        return refused(f"you have no subplanner {wanted}; your subplanners: {titles}")
    drafts = context.passed_on(child, arguments.goal, arguments.scope, arguments.message)
    return Answer(f"sent to {child.title}", drafts=drafts)


TOOL = Tool("rescope_subplanner", Arguments, call, writes=True, atomic=True, target=lambda a: a.subplanner[:60])

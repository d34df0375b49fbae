"""rescope_subplanner: a planner changes what one of its subplanners owns, or tells it what has changed."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Instruction, Name
from engine.domain.types import Pathology
from engine.policy.pathologies import found
from engine.policy.scope import scope_fault
from engine.policy.task_names import folded
from engine.tools.tool import Answer, Tool, ToolContext, faulted, refused

REOPENED = 3
"""How often a planner may ask a subplanner again that has handed off, for one version of the intent."""
AGAIN = (
    "not sent: {title} has handed off {times} times, and asking it again does not bring more. Decide otherwise: accept "
    "what has landed, do what is missing with `spawn_tasks` or a new subplanner, or hand off `partial` and say what is "
    "left"
)


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    subplanner: Annotated[Name, Meta(description="Its title.")]
    message: Annotated[Instruction, Meta(description="What has changed, and what follows from it.")]
    goal: Annotated[Instruction, Meta(description="The new goal, whole; empty: unchanged.")] = ""
    scope: Annotated[
        Instruction, Meta(description="The new scope, as globs separated by commas; empty: unchanged.")
    ] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent.id, context.snapshot
    if not arguments.message.strip():
        return refused("`message` is empty; say what has changed for the subplanner")
    if fault := scope_fault(arguments.scope):
        return refused(f"not sent: the scope: {fault}")
    wanted = arguments.subplanner.strip()
    child = snapshot.subplanner(me, wanted) or snapshot.subplanner(me, folded(wanted))
    if child is None:
        titles = ", ".join(each.title for each in snapshot.subplanners(me)) or "none"
        return refused(f"you have no subplanner {wanted}; your subplanners: {titles}")
    times = snapshot.reopened.get(child.id, 0)
    if child.ended and times >= REOPENED:
        detail = f"asks {child.title} again after {times + 1} handoffs"
        return faulted(
            found(snapshot, me, Pathology.CLAIMS_COMPLETION, detail), AGAIN.format(title=child.title, times=times + 1)
        )
    drafts = context.passed_on(child, arguments.goal, arguments.scope, arguments.message)
    return Answer(f"sent to {child.title}", drafts=drafts)


TOOL = Tool("rescope_subplanner", Arguments, call, writes=True, atomic=True, target=lambda a: a.subplanner[:60])

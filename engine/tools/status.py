"""status: a planner looks at the state of its tasks and slices, of trunk, and of the budget."""

from msgspec import Struct

from engine.policy.planner_status import PlannerStatus
from engine.tools.tool import Answer, Tool, ToolContext


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    pass


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    status = PlannerStatus(context.settings, context.snapshot, context.agent.id, context.clock.now())
    return Answer(status.whole())


TOOL = Tool("status", Arguments, call)

"""update_workspace: bring the agent's copy to the newest trunk, with its own change merged in."""

from msgspec import Struct

from engine.tools.tool import Answer, Tool, ToolContext


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    pass


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    return await context.update()


TOOL = Tool("update_workspace", Arguments, call, writes=True, repeatable=True)

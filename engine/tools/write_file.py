"""write_file: write a whole file of the agent's copy."""

from msgspec import Struct

from engine.domain.bounds import Path
from engine.domain.os_text import utf8_text
from engine.tools.tool import Answer, Tool, ToolContext


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Path
    content: str


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    await (await context.workspace()).write_file(arguments.path, utf8_text(arguments.content).encode())
    left_out = await context.left_out(arguments.path)
    return Answer(f"wrote {arguments.path}{left_out}", paths=(arguments.path,))


TOOL = Tool("write_file", Arguments, call, writes=True, target=lambda a: a.path)

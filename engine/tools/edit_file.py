"""edit_file: replace text in a file of the agent's copy."""

from msgspec import Struct

from engine.domain.bounds import Path, Times
from engine.domain.os_text import content_bytes
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Path
    old: str
    new: str
    count: Times = 1


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not arguments.old:
        return refused("`old` is empty; to create a file, use write_file")
    workspace = await context.workspace()
    content = await workspace.read_file(arguments.path)
    old, new = content_bytes(arguments.old, content), content_bytes(arguments.new, content)
    found = content.count(old)
    if found != arguments.count:
        return refused(
            f"`old` occurs {found} times in {arguments.path}, not {arguments.count}: "
            "include more of the surrounding text, or pass the right `count`"
        )
    await workspace.write_file(arguments.path, content.replace(old, new))
    left_out = await context.left_out(arguments.path)
    return Answer(f"edited {arguments.path} ({found}){left_out}", paths=(arguments.path,))


TOOL = Tool("edit_file", Arguments, call, writes=True, target=lambda a: a.path)

"""edit_file: replace text in a file of the agent's copy."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Path, Times
from engine.domain.text_file import TextFile
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="A text file.")]
    old: Annotated[str, Meta(description="Text to replace, exactly as in the file.")]
    new: Annotated[str, Meta(description="Text to put there.")]
    count: Annotated[Times, Meta(description="How often `old` occurs; all are replaced.")] = 1


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not arguments.old:
        return refused("`old` is empty; to create a file, use write_file")
    workspace = await context.workspace()
    file = TextFile.read(await workspace.read_file(arguments.path))
    old, new = file.lines_of(arguments.old), file.lines_of(arguments.new)
    found = file.text.count(old) if old else 0
    if found != arguments.count:
        return refused(
            f"`old` occurs {found} times in {arguments.path}, not {arguments.count}: "
            "include more of the surrounding text, or pass the right `count`"
        )
    if old == new and arguments.old != arguments.new:
        return refused("nothing to change: edit_file keeps a file's line ends; use a command to convert them")
    line_end = "\n"
    if not file.ends and "\n" in new:
        line_end = TextFile.read(await workspace.encode_new(arguments.path, "\n")).ends[0]
    await workspace.write_file(arguments.path, file.replace(old, new, line_end).encode())
    left_out = await context.left_out(arguments.path)
    return Answer(f"edited {arguments.path} ({found}){left_out}", paths=(arguments.path,))


TOOL = Tool("edit_file", Arguments, call, writes=True, target=lambda a: a.path)

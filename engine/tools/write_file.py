"""write_file: write a whole file of the agent's copy."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Path
from engine.domain.os_text import utf8_text
from engine.domain.text_file import TextFile
from engine.ports.protocols import Workspace, WorkspaceError
from engine.tools.tool import Answer, Tool, ToolContext


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="A new or existing file; missing folders are created.")]
    content: Annotated[str, Meta(description="All of its text, with lines that end in LF.")]


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    workspace = await context.workspace()
    await workspace.write_file(arguments.path, await _encode(workspace, arguments))
    left_out = await context.left_out(arguments.path)
    return Answer(f"wrote {arguments.path}{left_out}", paths=(arguments.path,))


async def _encode(workspace: Workspace, arguments: Arguments) -> bytes:
    """The content in the form of the file that it replaces; a new file gets the form of a checkout."""
    text = utf8_text(arguments.content)
    try:
        file = TextFile.read(await workspace.read_file(arguments.path))
    except WorkspaceError:
        return await workspace.encode_new(arguments.path, text)
    if not file.text or "\0" in file.text or not file.note:
        return text.encode()
    return file.replace(file.text, file.lines_of(text)).encode()


TOOL = Tool("write_file", Arguments, call, writes=True, target=lambda a: a.path)

"""edit_file: replace text in a file of the agent's copy."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Path, Times
from engine.domain.text_edits import EditFailed, edited
from engine.domain.text_file import TextFile
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Edit(Struct, frozen=True, forbid_unknown_fields=True):
    old: Annotated[str, Meta(description="Text to replace, exactly as in the file, whitespace included.")]
    new: Annotated[str, Meta(description="Text to put there.")]
    count: Annotated[Times, Meta(description="How often `old` occurs; all are replaced.")] = 1


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="A text file.")]
    edits: Annotated[tuple[Edit, ...], Meta(description="Made in this order.")]


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    path, edits = arguments.path, arguments.edits
    if not edits:
        return refused("`edits` is empty")
    workspace = await context.workspace()
    file = TextFile.read(await workspace.read_file(path))
    line_end = "\n" if file.ends else TextFile.read(await workspace.encode_new(path, "\n")).ends[0]
    for number, edit in enumerate(edits, 1):
        try:
            file = edited(file, path, edit.old, edit.new, edit.count, line_end)
        except EditFailed as failure:
            which = f"edit {number} of {len(edits)}: " if len(edits) > 1 else ""
            return refused(f"nothing changed: {which}{failure}")
    await workspace.write_file(path, file.encode())
    left_out = await context.left_out(path)
    return Answer(f"edited {path} ({len(edits)}){left_out}", paths=(path,))


TOOL = Tool("edit_file", Arguments, call, writes=True, target=lambda a: a.path)

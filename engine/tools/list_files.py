"""list_files: the files and folders under a folder of the agent's copy."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Depth, Path
from engine.tools.tool import Answer, Tool, ToolContext

LIMIT = 500
"""Entries in one answer."""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="A folder.")] = "."
    depth: Annotated[Depth, Meta(description="Levels of folders, at most 20.")] = 2


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    workspace = await context.workspace()
    entries = await workspace.list_files(arguments.path, min(arguments.depth, 20), LIMIT + 1)
    lines = [entry.path if entry.path.endswith("/") else f"{entry.path} ({entry.size})" for entry in entries[:LIMIT]]
    if len(entries) > LIMIT:
        lines.append(f"(cut at {LIMIT} entries: list a subfolder, or use a smaller depth)")
    return Answer("\n".join(lines) or "(the folder is empty)")


TOOL = Tool("list_files", Arguments, call, target=lambda a: a.path)

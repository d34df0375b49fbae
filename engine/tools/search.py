"""search: lines of the agent's copy that match a regular expression."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Name, Path
from engine.tools.tool import Answer, Tool, ToolContext, refused

LIMIT = 200
"""Matches in one answer."""
LINE = 200
"""Characters shown of a line."""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    pattern: Annotated[Name, Meta(description="A Python regular expression.")]
    path: Annotated[Path, Meta(description="A folder or a file.")] = "."


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    try:
        re.compile(arguments.pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return refused(f"invalid regular expression: {error}")
    matches = await (await context.workspace()).search(arguments.pattern, arguments.path, LIMIT + 1)
    lines = [f"{match.path}:{match.line}: {match.text[:LINE]}" for match in matches[:LIMIT]]
    if len(matches) > LIMIT:
        lines.append(f"(cut at {LIMIT} matches: narrow the pattern or the path)")
    return Answer("\n".join(lines) or "(no match)")


TOOL = Tool("search", Arguments, call, target=lambda a: a.pattern[:60])

"""search: lines of the agent's copy that match a regular expression."""

import re
from bisect import bisect
from itertools import accumulate
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.answer_text import MOST, room, short_line
from engine.domain.bounds import Lines, Name, Path
from engine.ports.protocols import Match
from engine.tools.tool import Answer, Tool, ToolContext, refused

LIMIT = 200
"""Matches in one answer."""
LINE = 200
"""Characters shown of a line."""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    pattern: Annotated[Name, Meta(description="A Python regular expression.")]
    path: Annotated[Path, Meta(description="A folder or a file.")] = "."
    files: Annotated[Path, Meta(description="Globs, separated by commas, such as `*.py,docs/*`; empty: all.")] = ""
    context: Annotated[Lines, Meta(description="Lines to show before and after each match, at most 20.")] = 0


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    try:
        re.compile(arguments.pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return refused(f"invalid regular expression: {error}")
    globs = tuple(glob.strip() for glob in arguments.files.split(",") if glob.strip())
    workspace = await context.workspace()
    found = await workspace.search(arguments.pattern, arguments.path, LIMIT, globs, min(arguments.context, 20))
    lines = [f"{each.path}{_mark(each)} {short_line(each.text, LINE)}" for each in found if each.line]
    sizes = list(accumulate(len(line) + 1 for line in lines))
    more = [f"{each.path} ({each.text})" for each in found if not each.line]
    if lines and sizes[-1] > room(MOST):
        lines = lines[: bisect(sizes, MOST)]
        more.insert(0, "in these files and others")
    if more:
        lines.append(f"(cut: more matches {', '.join(more)}; narrow the pattern, path or files)")
    return Answer("\n".join(lines) or "(no match)")


def _mark(match: Match) -> str:
    """What stands after the path of a line, as grep writes it: a line of context has no colons."""
    return f"-{match.line}-" if match.context else f":{match.line}:"


TOOL = Tool("search", Arguments, call, target=lambda a: a.pattern[:60])

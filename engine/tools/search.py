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

GLOBS = 400
"""Globs that `files` may come to, and steps to find them."""
_BRACES = re.compile(r"\{([^{}]*)\}")


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
    try:
        globs = file_globs(arguments.files)
    except ValueError as error:
        return refused(f"`files`: {error}")
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


def file_globs(text: str) -> tuple[str, ...]:
    """Globs as people write them, as the simple ones of `Workspace.search`, whose `*` also stands for folders.

    `**/` may stand for no folder, braces name several, and a folder stands for all below it. Raises ValueError.
    """
    found: list[str] = []
    rounds = 0
    left = [glob.strip() for glob in _between_commas(text)][::-1]
    while left:
        glob = left.pop()
        if braces := _BRACES.search(glob):
            before, after = glob[: braces.start()], glob[braces.end() :]
            left += [f"{before}{part.strip()}{after}" for part in braces[1].split(",")][::-1]
        elif glob:
            name = glob.removeprefix("./").strip("/") if glob not in (".", "./", "/") else "*"
            found += [name, name.replace("**/", ""), f"{name}/*", f"**/{name}/*"]
        rounds += 1
        if rounds + len(left) > GLOBS:
            raise ValueError("too many globs")
    return tuple(dict.fromkeys(found))


def _between_commas(text: str) -> list[str]:
    """What stands between the commas outside of braces."""
    parts, depth = [""], 0
    for char in text:
        depth = max(0, depth + (char == "{") - (char == "}"))
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _mark(match: Match) -> str:
    """What stands after the path of a line, as grep writes it: a line of context has no colons."""
    return f"-{match.line}-" if match.context else f":{match.line}:"


TOOL = Tool("search", Arguments, call, target=lambda a: a.pattern[:60])

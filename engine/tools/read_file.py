"""read_file: a file of the agent's copy, with line numbers."""

from bisect import bisect
from itertools import accumulate
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.answer_text import MOST, room, short_line
from engine.domain.bounds import LineNumber, Path
from engine.domain.text_file import TextFile
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[Path, Meta(description="A text file.")]
    start: Annotated[LineNumber, Meta(description="First line.")] = 1
    end: Annotated[LineNumber, Meta(description="Last line; 0: to the end.")] = 0


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    content = await (await context.workspace()).read_file(arguments.path)
    file = TextFile.read(content)
    if "\0" in file.text:
        return refused(f"{arguments.path} is a binary file of {len(content)} bytes")
    lines = file.shown.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        return Answer("(the file is empty)")
    start = max(1, arguments.start)
    end = min(len(lines), arguments.end or len(lines))
    if start > end:
        return refused(f"{arguments.path} has {len(lines)} lines; there are none in {start}–{arguments.end or end}")
    shown = [f"{number}\t{short_line(lines[number - 1])}" for number in range(start, end + 1)]
    sizes = list(accumulate(len(line) + 1 for line in shown))
    if sizes[-1] > room(MOST):
        shown = shown[: bisect(sizes, MOST)]
        shown.append(f"(cut: the file has {len(lines)} lines; continue with start={start + len(shown)})")
    if file.note:
        shown.append(f"({file.note}; edit_file and write_file keep this)")
    return Answer("\n".join(shown))


TOOL = Tool("read_file", Arguments, call, target=lambda a: a.path)

"""An agent's conversation as lines: who said what, tools by name and target, answers cut short."""

from collections.abc import Iterable

import msgspec

from tui.bridge import Opaque, Said, Text, ToolAnswer, ToolCall
from tui.figures import clock
from tui.text import EMPTY, Line, Span, one_line, wrap

ANSWER_LINES = 8
_TARGETS = ("command", "path", "pattern", "title", "status", "task")


def target_of(call: ToolCall) -> str:
    """What a call is about, in a few words: its most telling argument."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return call.arguments
    if not isinstance(arguments, dict):
        return call.arguments
    for name in _TARGETS:
        if isinstance(value := arguments.get(name), str):
            return value
    if isinstance(tasks := arguments.get("tasks"), list):
        return f"{len(tasks)} tasks"
    return ""


def tell_conversation(said: Iterable[Said], cells: int) -> list[Line]:
    """All messages, oldest first."""
    lines: list[Line] = []
    for one in said:
        lines += _tell(one, cells)
    return lines


def _tell(said: Said, cells: int) -> list[Line]:
    lines: list[Line] = []
    agent = said.message.role == "assistant"
    told = any(isinstance(block, Text) for block in said.message.blocks)
    if agent or told:
        who = Span(" agent ", "thinking bold") if agent else Span(" told ", "accent bold")
        lines += [EMPTY, (who, Span(f"{clock(said.at)} · #{said.seq}", "dim"))]
    for block in said.message.blocks:
        match block:
            case Text(text=text):
                lines += [(Span("  "), *line) for line in wrap(text.strip("\n"), cells - 3, "text")]
            case ToolCall():
                lines.append(
                    (Span("  ▶ ", "acting"), Span(block.tool + " ", "acting"), Span(one_line(target_of(block)), "text"))
                )
            case ToolAnswer(text=text, error=error):
                lines += _answer(text, error, cells)
            case Opaque(provider=provider):
                lines.append((Span(f"  ⋯ reasoning kept for {provider}", "dim italic"),))
    return lines


def _answer(text: str, error: bool, cells: int) -> list[Line]:
    style = "failed" if error else "dim"
    shown = text[: cells * (ANSWER_LINES + 2)].split("\n")[:ANSWER_LINES]
    lines: list[Line] = []
    for piece in shown:
        lines += [(Span("    │ ", style), *line) for line in wrap(piece, cells - 7, "failed" if error else "dim")]
    lines = lines[:ANSWER_LINES]
    if (total := text.count("\n") + 1) > len(shown):
        lines.append((Span("    ╵ ", style), Span(f"… {total - len(shown)} more lines", "dim italic")))
    return lines

"""An agent's conversation as lines: who said what, tools by name and target, answers cut short."""

from collections.abc import Iterable

import msgspec

from tui.bridge import MessageRow
from tui.figures import clock, size
from tui.text import EMPTY, Line, Span, one_line, wrap

ANSWER_LINES = 8
_TARGETS = ("command", "path", "pattern", "title", "status", "task")


def target_of(arguments: str) -> str:
    """What a call is about, in a few words: its most telling argument, or all of them when they cannot be read."""
    try:
        given = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
    if not isinstance(given, dict):
        return arguments
    for name in _TARGETS:
        if isinstance(value := given.get(name), str):
            return value
    if isinstance(tasks := given.get("tasks"), list):
        return f"{len(tasks)} tasks"
    return ""


def tell_conversation(said: Iterable[MessageRow], cells: int) -> list[Line]:
    """All messages, oldest first."""
    lines: list[Line] = []
    for row in said:
        lines += _answer(row, cells) if row.role == "tool" else _speech(row, cells)
    return lines


def _speech(row: MessageRow, cells: int) -> list[Line]:
    agent = row.role == "assistant"
    who = Span(" agent ", "thinking bold") if agent else Span(f" {one_line(row.source) or 'told'} ", "accent bold")
    stop = f" · {row.state}" if agent and row.state not in (None, "tools", "end") else ""
    lines: list[Line] = [EMPTY, (who, Span(f"{clock(row.at)} · #{row.seq}{stop}", "dim"))]
    if row.text.strip():
        lines += [(Span("  "), *line) for line in wrap(row.text.strip("\n"), cells - 3, "text")]
    if not row.whole:
        lines.append((Span(f"  … {size(row.size)} in all", "dim italic"),))
    for call in row.calls:
        lines.append(
            (
                Span("  ▶ ", "acting"),
                Span(one_line(call.tool) + " ", "acting"),
                Span(one_line(target_of(call.arguments)), "text"),
            )
        )
    return lines


def _answer(row: MessageRow, cells: int) -> list[Line]:
    style = "failed" if row.state in ("error", "interrupted") else "dim"
    shown = row.text[: cells * (ANSWER_LINES + 2)].split("\n")[:ANSWER_LINES]
    lines: list[Line] = []
    for piece in shown:
        lines += [(Span("    │ ", style), *line) for line in wrap(piece, cells - 7, style)]
    lines = lines[:ANSWER_LINES]
    if (total := row.text.count("\n") + 1) > len(shown) or not row.whole:
        lines.append((Span("    ╵ ", style), Span(f"… {total} lines, {size(row.size)} in all", "dim italic")))
    return lines

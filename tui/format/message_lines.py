"""One message of an agent's conversation as lines: source, text, tool calls; long texts and tool results folded."""

from itertools import islice

import msgspec

from tui.bridge import MessageRow, utf8_text
from tui.format.numbers import clock, counted, size
from tui.format.text import EMPTY, Line, Span, one_line, wrap

FOLDED_LINES = 24
"""Lines of a text that show while it is folded. A tool result shows only its first."""
MOST_LINES = 4000
"""Lines of a text that show at most."""
_TARGETS = ("command", "path", "pattern", "title", "status", "task")


def target_of(arguments: str) -> str:
    """What a tool call is about: its most important argument, or all arguments as they are if they can't be parsed."""
    try:
        given = msgspec.json.decode(utf8_text(arguments))
    except msgspec.DecodeError:
        return arguments
    if not isinstance(given, dict):
        return arguments
    for name in _TARGETS:
        if isinstance(value := given.get(name), str):
            return value
    if isinstance(tasks := given.get("tasks"), list):
        return counted(len(tasks), "task")
    return ""


def folds(row: MessageRow) -> bool:
    """Whether a message is longer than what shows while it is folded."""
    return row.role == "tool" or not row.whole or row.text.count("\n") >= FOLDED_LINES or len(row.text) > 2000


def message_lines(row: MessageRow, cells: int, *, unfolded: bool) -> list[Line]:
    """One message, whole or folded."""
    return _result(row, cells, unfolded) if row.role == "tool" else _speech(row, cells, unfolded)


def _speech(row: MessageRow, cells: int, unfolded: bool) -> list[Line]:
    agent = row.role == "assistant"
    source = "prompt" if row.source == "opening" else one_line(row.source) or "message"
    who = Span(" agent ", "thinking bold") if agent else Span(f" {source} ", "accent bold")
    stop = f" · {row.state}" if agent and row.state not in (None, "tools", "end") else ""
    lines: list[Line] = [EMPTY, (who, Span(f"{clock(row.at)} · #{row.seq}{stop}", "dim"))]
    if row.text.strip():
        lines += _body(row, cells, "text", "  ", MOST_LINES if unfolded else FOLDED_LINES)
    for call in row.calls:
        lines.append(
            (
                Span("  ▶ ", "acting"),
                Span(one_line(call.tool) + " ", "acting"),
                Span(one_line(target_of(call.arguments)), "text"),
            )
        )
    return lines


def _result(row: MessageRow, cells: int, unfolded: bool) -> list[Line]:
    """A tool result; folded, its first line that is not blank, and its length."""
    bad = row.state in ("error", "interrupted")
    style = "failed" if bad else "dim"
    total = row.text.rstrip().count("\n") + 1
    first = next((line for line in row.text.split("\n") if line.strip()), "")
    mark = "▾" if unfolded else "▸"
    extent = f"  {total}{'' if row.whole else '+'} lines, {size(row.size)}" if total > 1 or not row.whole else ""
    head: Line = (
        Span(f"    {mark} ", style),
        Span(f"{row.state} " if bad else "", "failed bold"),
        Span("" if unfolded else one_line(first[: 4 * cells])[: max(8, cells - 26)], style),
        Span(extent, "dim italic"),
    )
    return [head, *_body(row, cells, "failed" if bad else "text", "    │ ", MOST_LINES)] if unfolded else [head]


def _body(row: MessageRow, cells: int, style: str, lead: str, most: int) -> list[Line]:
    wrapped = wrap(row.text.strip("\n"), cells - len(lead) - 1, style)
    lines = [(Span(lead, "dim"), *line) for line in islice(wrapped, most)]
    if next(wrapped, None) is not None or not row.whole:
        lines.append((Span(f"{lead}… {size(row.size)} in total; press enter to unfold", "dim italic"),))
    return lines

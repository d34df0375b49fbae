"""A message of an agent's conversation as lines: who said what, tools by name and target, answers folded."""

from itertools import islice

import msgspec

from tui.bridge import MessageRow
from tui.format.numbers import clock, size
from tui.format.text import EMPTY, Line, Span, one_line, wrap

FOLDED_LINES = 24
"""Lines of a text that stand there while it is folded; an answer shows none but its first."""
MOST_LINES = 4000
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
        return f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"
    return ""


def folds(row: MessageRow) -> bool:
    """Whether there is more of a message than stands there when it is folded."""
    return row.role == "tool" or not row.whole or row.text.count("\n") >= FOLDED_LINES or len(row.text) > 2000


def message_lines(row: MessageRow, cells: int, *, unfolded: bool) -> list[Line]:
    """One message, in full or folded."""
    return _answer(row, cells, unfolded) if row.role == "tool" else _speech(row, cells, unfolded)


def _speech(row: MessageRow, cells: int, unfolded: bool) -> list[Line]:
    agent = row.role == "assistant"
    who = Span(" agent ", "thinking bold") if agent else Span(f" {one_line(row.source) or 'told'} ", "accent bold")
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


def _answer(row: MessageRow, cells: int, unfolded: bool) -> list[Line]:
    """Folded: the first line that says something, and how much there is."""
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
    told = wrap(row.text.strip("\n"), cells - len(lead) - 1, style)
    lines = [(Span(lead, "dim"), *line) for line in islice(told, most)]
    if next(told, None) is not None or not row.whole:
        lines.append((Span(f"{lead}… {size(row.size)} in all; enter unfolds", "dim italic"),))
    return lines

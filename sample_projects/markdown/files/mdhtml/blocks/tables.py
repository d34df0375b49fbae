"""Tables: a header, a line of dashes and rows, their cells divided by bars."""

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines
from mdhtml.tables.alignment import alignment
from mdhtml.tables.cells import cells


def parse(lines: Lines, at: int, context: Context) -> Found:
    sides = alignment(lines[at + 1]) if at + 1 < len(lines) and "|" in lines[at] else None
    if sides is None or len(sides) != len(cells(lines[at])):
        return None
    end = at + 2
    while end < len(lines) and lines[end].strip() and not context.interrupted(lines, end):
        end += 1
    head = Element("thead", (_row(lines[at], "th", sides, context),))
    rows = tuple(_row(line, "td", sides, context) for line in lines[at + 2 : end])
    return (Element("table", (head, Element("tbody", rows)) if rows else (head,)),), end


def _row(line: str, tag: str, sides: list[str], context: Context) -> Element:
    """One row with as many cells as the header has: missing ones are empty, surplus ones are left out."""
    texts = (cells(line) + [""] * len(sides))[: len(sides)]
    styles = [{"style": f"text-align: {side}"} if side else {} for side in sides]
    return Element("tr", tuple(Element(tag, context.inlines(text), style) for text, style in zip(texts, styles)))


RULE = BlockRule("tables", 800, parse)

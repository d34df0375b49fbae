"""Paragraphs: what no other rule wants."""

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines


def parse(lines: Lines, at: int, context: Context) -> Found:
    end = at + 1
    while end < len(lines) and lines[end].strip() and not context.interrupted(lines, end):
        end += 1
    # Trailing blanks may mean a hard break, except at the very end.
    text = "\n".join(line.lstrip() for line in lines[at:end]).rstrip()
    return (Element("p", context.inlines(text)),), end


RULE = BlockRule("paragraphs", 1000, parse)

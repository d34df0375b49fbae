"""Footnotes: `[^label]: text` is kept for the end of the document."""

import re

from mdhtml.context import Context
from mdhtml.rules import BlockRule, Found, Lines

NOTE = re.compile(r" {0,3}\[\^([^\]\s]+)\]:\s*")


def parse(lines: Lines, at: int, context: Context) -> Found:
    match = NOTE.match(lines[at])
    if match is None:
        return None
    text = [lines[at][match.end() :]]
    end = at + 1
    while end < len(lines) and lines[end].strip() and not NOTE.match(lines[end]):
        text.append(lines[end].strip())
        end += 1
    context.notes.setdefault(match[1], context.inlines("\n".join(text)))
    return (), end


def interrupts(lines: Lines, at: int) -> bool:
    return NOTE.match(lines[at]) is not None


RULE = BlockRule("footnotes", 15, parse, interrupts)

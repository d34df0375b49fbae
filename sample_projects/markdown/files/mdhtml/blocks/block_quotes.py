"""Block quotes: lines that begin with `>`, and the lines of a paragraph that go on without it."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines

QUOTE = re.compile(r" {0,3}> ?")


def parse(lines: Lines, at: int, context: Context) -> Found:
    if not QUOTE.match(lines[at]):
        return None
    inner: list[str] = []
    end = at
    while end < len(lines) and lines[end].strip():
        if not QUOTE.match(lines[end]) and (not inner[-1].strip() or context.interrupted(lines, end)):
            break
        inner.append(QUOTE.sub("", lines[end], count=1))
        end += 1
    return (Element("blockquote", context.blocks(inner)),), end


def interrupts(lines: Lines, at: int) -> bool:
    return QUOTE.match(lines[at]) is not None


RULE = BlockRule("block quotes", 60, parse, interrupts)

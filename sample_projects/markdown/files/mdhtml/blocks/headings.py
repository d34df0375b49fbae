"""Headings that begin with one to six number signs."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines

HEADING = re.compile(r" {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$")


def parse(lines: Lines, at: int, context: Context) -> Found:
    match = HEADING.match(lines[at])
    if match is None:
        return None
    level = len(match[1])
    return (Element(f"h{level}", context.inlines(match[2] or "")),), at + 1


def interrupts(lines: Lines, at: int) -> bool:
    return HEADING.match(lines[at]) is not None


RULE = BlockRule("headings", 10, parse, interrupts)

"""Thematic breaks: three or more stars, dashes or underscores, alone on a line."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines

BREAK = re.compile(r" {0,3}([*_-])(?:\s*\1){2,}\s*$")


def parse(lines: Lines, at: int, context: Context) -> Found:
    return ((Element("hr"),), at + 1) if BREAK.match(lines[at]) else None


def interrupts(lines: Lines, at: int) -> bool:
    return BREAK.match(lines[at]) is not None


# Before lists: `* * *` is a break, not a list of lists.
RULE = BlockRule("thematic breaks", 20, parse, interrupts)

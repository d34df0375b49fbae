"""Ordered lists: items that begin with a number and a dot or a bracket. The first number is where it starts."""

import re

from mdhtml.context import Context
from mdhtml.items import gather
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines

MARKER = re.compile(r" {0,3}(\d{1,9})([.)])(?: +|$)")


def parse(lines: Lines, at: int, context: Context) -> Found:
    match = MARKER.match(lines[at])
    if match is None:
        return None
    same = re.compile(rf" {{0,3}}\d{{1,9}}{re.escape(match[2])}(?: +|$)")
    items = gather(lines, at, same, context)
    start = int(match[1])
    return (Element("ol", items.elements(context), {} if start == 1 else {"start": str(start)}),), items.end


def interrupts(lines: Lines, at: int) -> bool:
    match = MARKER.match(lines[at])
    # Only a list that starts at 1: a line of text may well begin with a year.
    return match is not None and match[1] == "1" and match.end() < len(lines[at])


RULE = BlockRule("ordered lists", 70, parse, interrupts)

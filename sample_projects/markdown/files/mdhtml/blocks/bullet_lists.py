"""Bullet lists: items that begin with a star, a dash or a plus."""

import re

from mdhtml.context import Context
from mdhtml.items import gather
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines

MARKER = re.compile(r" {0,3}([*+-])(?: +|$)")


def parse(lines: Lines, at: int, context: Context) -> Found:
    match = MARKER.match(lines[at])
    if match is None:
        return None
    same = re.compile(rf" {{0,3}}{re.escape(match[1])}(?: +|$)")
    items = gather(lines, at, same, context)
    return (Element("ul", items.elements(context)),), items.end


def interrupts(lines: Lines, at: int) -> bool:
    match = MARKER.match(lines[at])
    return match is not None and match.end() < len(lines[at])


RULE = BlockRule("bullet lists", 70, parse, interrupts)

"""Headings that are underlined with equals signs or dashes."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import BlockRule, Found, Lines

UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*$")


def parse(lines: Lines, at: int, context: Context) -> Found:
    for end in range(at + 1, len(lines)):
        if not lines[end].strip():
            return None
        match = UNDERLINE.match(lines[end])
        if match is not None:
            text = "\n".join(line.strip() for line in lines[at:end])
            return (Element("h1" if match[1][0] == "=" else "h2", context.inlines(text)),), end + 1
        if context.interrupted(lines, end):
            return None
    return None


# Tried late: what begins another block is no heading, whatever stands under it.
RULE = BlockRule("setext headings", 900, parse)

"""HTML blocks: from a line that begins with a block-level tag or a comment to the next blank line."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Raw
from mdhtml.rules import BlockRule, Found, Lines

TAGS = "address|article|aside|blockquote|details|div|dl|figure|footer|form|header|main|nav|ol|p|pre|section|summary|table|ul"
START = re.compile(rf" {{0,3}}(?:<!--|</?(?:{TAGS})(?=[\s/>]|$))", re.IGNORECASE)


def parse(lines: Lines, at: int, context: Context) -> Found:
    if not START.match(lines[at]):
        return None
    end = at
    while end < len(lines) and lines[end].strip():
        end += 1
    return (Raw("\n".join(lines[at:end])),), end


def interrupts(lines: Lines, at: int) -> bool:
    return START.match(lines[at]) is not None


RULE = BlockRule("html blocks", 50, parse, interrupts)

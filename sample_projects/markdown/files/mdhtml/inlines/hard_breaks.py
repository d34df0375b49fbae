"""Hard breaks: two blanks or a backslash at the end of a line."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element, Text
from mdhtml.rules import Found, InlineRule

BREAK = re.compile(r"(?: {2,}|\\)\n")


def parse(text: str, at: int, context: Context) -> Found:
    match = BREAK.match(text, at)
    return None if match is None else ((Element("br"), Text("\n")), match.end())


RULE = InlineRule("hard breaks", 5, " \\", parse)

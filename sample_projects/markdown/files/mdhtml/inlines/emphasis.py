"""Emphasis: text between single stars or underscores."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import Found, InlineRule

EMPHASIS = re.compile(r"\*(?![\s*])(.+?)(?<![\s*])\*(?!\*)|(?<!\w)_(?![\s_])(.+?)(?<![\s_])_(?!\w)", re.DOTALL)


def parse(text: str, at: int, context: Context) -> Found:
    match = EMPHASIS.match(text, at)
    if match is None or text[at - 1 : at] == text[at]:
        return None
    return (Element("em", context.inlines(match[1] or match[2])),), match.end()


RULE = InlineRule("emphasis", 60, "*_", parse)

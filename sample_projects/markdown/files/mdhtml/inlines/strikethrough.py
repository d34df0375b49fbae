"""Strikethrough: text between double tildes."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import Found, InlineRule

STRUCK = re.compile(r"~~(?![\s~])(.+?)(?<![\s~])~~(?!~)", re.DOTALL)


def parse(text: str, at: int, context: Context) -> Found:
    match = STRUCK.match(text, at)
    if match is None or text[at - 1 : at] == "~":
        return None
    return (Element("del", context.inlines(match[1])),), match.end()


RULE = InlineRule("strikethrough", 50, "~", parse)

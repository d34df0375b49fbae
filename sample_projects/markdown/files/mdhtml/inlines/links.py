"""Links: a text in brackets with its target, and perhaps a title, in parentheses."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import Found, InlineRule

LINK = re.compile(r"""\[((?:[^\[\]\\]|\\.)+)\]\(\s*<?([^\s<>()]*)>?(?:\s+"([^"]*)")?\s*\)""")


def parse(text: str, at: int, context: Context) -> Found:
    match = LINK.match(text, at)
    if match is None:
        return None
    attributes = {"href": match[2]}
    if match[3]:
        attributes["title"] = match[3]
    return (Element("a", context.inlines(match[1]), attributes),), match.end()


RULE = InlineRule("links", 40, "[", parse)

"""References to footnotes: `[^label]` becomes a raised link to the note."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element, Text
from mdhtml.rules import Found, InlineRule

REFERENCE = re.compile(r"\[\^([^\]\s]+)\]")


def parse(text: str, at: int, context: Context) -> Found:
    match = REFERENCE.match(text, at)
    if match is None:
        return None
    link = Element("a", (Text(match[1]),), {"href": f"#note-{match[1]}"})
    return (Element("sup", (link,)),), match.end()


RULE = InlineRule("footnotes", 25, "[", parse)

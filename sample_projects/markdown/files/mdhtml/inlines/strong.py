"""Strong text: between double stars or underscores."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import Found, InlineRule

STRONG = re.compile(r"\*\*(?!\s)(.+?)(?<!\s)\*\*(?!\*)|(?<!\w)__(?!\s)(.+?)(?<!\s)__(?!\w)", re.DOTALL)


def parse(text: str, at: int, context: Context) -> Found:
    match = STRONG.match(text, at)
    if match is None:
        return None
    return (Element("strong", context.inlines(match[1] or match[2])),), match.end()


# Before emphasis: two stars are not twice one star.
RULE = InlineRule("strong", 50, "*_", parse)

"""Reference links: the target stands elsewhere, under the label in the second brackets."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element
from mdhtml.rules import Found, InlineRule

LINK = re.compile(r"\[([^\[\]]+)\](?:\[([^\[\]]*)\])?")


def parse(text: str, at: int, context: Context) -> Found:
    match = LINK.match(text, at)
    if match is None:
        return None
    label = " ".join((match[2] or match[1]).split()).casefold()
    if label not in context.references:
        return None
    target, title = context.references[label]
    attributes = {"href": target, **({"title": title} if title else {})}
    return (Element("a", context.inlines(match[1]), attributes),), match.end()


RULE = InlineRule("reference links", 45, "[", parse)

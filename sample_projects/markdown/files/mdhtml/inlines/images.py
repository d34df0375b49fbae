"""Images: like links, with an exclamation mark before them."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element, plain
from mdhtml.rules import Found, InlineRule

IMAGE = re.compile(r"""!\[([^\[\]]*)\]\(\s*<?([^\s<>()]*)>?(?:\s+"([^"]*)")?\s*\)""")


def parse(text: str, at: int, context: Context) -> Found:
    match = IMAGE.match(text, at)
    if match is None:
        return None
    attributes = {"src": match[2], "alt": plain(context.inlines(match[1]))}
    if match[3]:
        attributes["title"] = match[3]
    return (Element("img", (), attributes),), match.end()


RULE = InlineRule("images", 30, "!", parse)

"""Entities: `&copy;`, `&#169;` and `&#xA9;` stand for the character they name."""

import html
import re

from mdhtml.context import Context
from mdhtml.nodes import Text
from mdhtml.rules import Found, InlineRule


ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")


def parse(text: str, at: int, context: Context) -> Found:
    match = ENTITY.match(text, at)
    if match is None:
        return None
    meant = html.unescape(match[0])
    return None if meant == match[0] else ((Text(meant),), match.end())


RULE = InlineRule("entities", 10, "&", parse)

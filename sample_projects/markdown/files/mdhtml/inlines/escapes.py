"""Escapes: a backslash before punctuation takes its meaning away."""

import string

from mdhtml.context import Context
from mdhtml.nodes import Text
from mdhtml.rules import Found, InlineRule


PUNCTUATION = frozenset(string.punctuation)


def parse(text: str, at: int, context: Context) -> Found:
    if text[at + 1 : at + 2] not in PUNCTUATION:
        return None
    return (Text(text[at + 1]),), at + 2


RULE = InlineRule("escapes", 10, "\\", parse)

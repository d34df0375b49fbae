"""Code spans: text between equally many backticks, taken as it is."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element, Text
from mdhtml.rules import Found, InlineRule

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def parse(text: str, at: int, context: Context) -> Found:
    match = SPAN.match(text, at)
    if match is None:
        return None
    code = match[2].replace("\n", " ")
    if code.startswith(" ") and code.endswith(" ") and code.strip():
        code = code[1:-1]  # so that code can begin or end with a backtick
    return (Element("code", (Text(code),)),), match.end()


RULE = InlineRule("code spans", 20, "`", parse)

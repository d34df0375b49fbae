"""Code that is indented by four blanks or more."""

from mdhtml.context import Context
from mdhtml.nodes import Element, Text
from mdhtml.rules import BlockRule, Found, Lines

INDENT = "    "


def parse(lines: Lines, at: int, context: Context) -> Found:
    if not lines[at].startswith(INDENT):
        return None
    end = at
    while end < len(lines) and (lines[end].startswith(INDENT) or not lines[end].strip()):
        end += 1
    code = [line[len(INDENT) :] for line in lines[at:end]]
    while not code[-1].strip():
        code.pop()
    text = "".join(f"{line}\n" for line in code)
    return (Element("pre", (Element("code", (Text(text),)),)),), end


# It does not interrupt a paragraph: there, indented lines go on with the text.
RULE = BlockRule("indented code", 40, parse)

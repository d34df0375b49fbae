"""Code between fences of three or more backticks or tildes."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element, Text
from mdhtml.rules import BlockRule, Found, Lines

FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})\s*([^`\s]*)[^`]*$")


def parse(lines: Lines, at: int, context: Context) -> Found:
    opening = FENCE.match(lines[at])
    if opening is None:
        return None
    indent, fence, language = opening.groups()
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}\s*$")
    code: list[str] = []
    end = at + 1
    while end < len(lines) and not closing.match(lines[end]):
        code.append(re.sub(rf"^ {{0,{len(indent)}}}", "", lines[end]))
        end += 1
    attributes = {"class": f"language-{language}"} if language else {}
    text = "".join(f"{line}\n" for line in code)
    return (Element("pre", (Element("code", (Text(text),), attributes),)),), min(end + 1, len(lines))


def interrupts(lines: Lines, at: int) -> bool:
    return FENCE.match(lines[at]) is not None


RULE = BlockRule("fenced code", 30, parse, interrupts)

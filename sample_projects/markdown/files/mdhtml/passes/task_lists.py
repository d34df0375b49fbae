"""Task lists: `[ ]` and `[x]` at the beginning of a list item become check boxes."""

import re
from dataclasses import replace

from mdhtml.context import Context
from mdhtml.nodes import Element, Node, Text
from mdhtml.rules import Pass

BOX = re.compile(r"\[([ xX])\] ")


def after(nodes: tuple[Node, ...], context: Context) -> tuple[Node, ...]:
    return tuple(_checked(node) for node in nodes)


def _checked(node: Node) -> Node:
    if not isinstance(node, Element):
        return node
    children = tuple(_checked(child) for child in node.children)
    if node.tag == "li":
        children = _boxed(children)
    return replace(node, children=children)


def _boxed(children: tuple[Node, ...]) -> tuple[Node, ...]:
    first = children[0] if children else None
    if isinstance(first, Element) and first.tag == "p":
        return (replace(first, children=_boxed(first.children)), *children[1:])
    match = BOX.match(first.text) if isinstance(first, Text) else None
    if match is None:
        return children
    box = Element("input", (), {"type": "checkbox", "disabled": "", **({} if match[1] == " " else {"checked": ""})})
    return (box, Text(f" {first.text[match.end() :]}"), *children[1:])


RULE = Pass("task lists", 50, after=after)

"""List items: which lines belong to which item, for every kind of list."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mdhtml.context import Context
from mdhtml.nodes import Element, Node
from mdhtml.rules import Lines


@dataclass(frozen=True)
class Items:
    """`items` hold their lines without marker and indent; a `loose` list has blank lines in it."""

    items: list[Lines]
    loose: bool
    end: int

    def elements(self, context: Context) -> tuple[Node, ...]:
        return tuple(Element("li", self._content(item, context)) for item in self.items)

    def _content(self, item: Lines, context: Context) -> tuple[Node, ...]:
        nodes = context.blocks(item)
        if self.loose:
            return nodes
        content: list[Node] = []
        for node in nodes:
            is_paragraph = isinstance(node, Element) and node.tag == "p"
            content.extend(node.children if is_paragraph else [node])
        return tuple(content)


def gather(lines: Lines, at: int, marker: re.Pattern[str], context: Context) -> Items:
    """The items from line `at` on, each beginning where `marker` matches; its match ends where the text begins."""
    items: list[Lines] = []
    blank = loose = False
    end, indent = at, 0
    while end < len(lines):
        line = lines[end]
        match = marker.match(line)
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            blank = True
        elif match and (not items or depth < indent):
            loose, blank = loose or (blank and bool(items)), False
            indent = match.end()
            items.append([line[indent:]])
        elif depth >= indent:
            loose = loose or blank
            items[-1] += ([""] if blank else []) + [line[indent:]]
            blank = False
        elif blank or context.interrupted(lines, end):
            break
        else:
            items[-1].append(line.lstrip())
        end += 1
    return Items(items, loose, end)

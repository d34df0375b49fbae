"""One conversion under way: the rules that take part and what the document has told so far."""

from __future__ import annotations

from typing import Collection

from mdhtml import blocks, inlines, passes
from mdhtml.nodes import Node, Text
from mdhtml.rules import Lines, load


class Context:
    """`references`: link targets and titles by label. `notes`: footnotes by label. `facts`: front matter."""

    def __init__(self, without: Collection[str] = (), extra: Collection[str] = ()) -> None:
        def chosen(package: str, names: tuple[str, ...]) -> list:
            rules = load(package, names)
            return [rule for rule in rules if rule.name not in without and (not rule.optional or rule.name in extra)]

        self.block_rules = chosen("mdhtml.blocks", blocks.RULES)
        self.inline_rules = chosen("mdhtml.inlines", inlines.RULES)
        self.passes = chosen("mdhtml.passes", passes.RULES)
        self.references: dict[str, tuple[str, str]] = {}
        self.notes: dict[str, tuple[Node, ...]] = {}
        self.facts: dict[str, str] = {}

    def blocks(self, lines: Lines) -> tuple[Node, ...]:
        nodes: list[Node] = []
        at = 0
        while at < len(lines):
            if not lines[at].strip():
                at += 1
                continue
            for rule in self.block_rules:
                found = rule.parse(lines, at, self)
                if found is not None:
                    nodes.extend(found[0])
                    at = found[1]
                    break
            else:
                at += 1
        return tuple(nodes)

    def interrupted(self, lines: Lines, at: int) -> bool:
        """Whether another block begins at this line of a paragraph."""
        return any(rule.interrupts(lines, at) for rule in self.block_rules)

    def inlines(self, text: str) -> tuple[Node, ...]:
        nodes: list[Node] = []
        start = at = 0
        while at < len(text):
            found = self._inline(text, at)
            if found is None:
                at += 1
                continue
            if start < at:
                nodes.append(Text(text[start:at]))
            nodes.extend(found[0])
            start = at = found[1]
        if start < at:
            nodes.append(Text(text[start:at]))
        return tuple(nodes)

    def _inline(self, text: str, at: int) -> tuple[tuple[Node, ...], int] | None:
        for rule in self.inline_rules:
            if text[at] in rule.triggers:
                found = rule.parse(text, at, self)
                if found is not None:
                    return found
        return None

"""What a rule is: one for blocks, one for inlines, one for passes over the whole document."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Iterable, Optional

from mdhtml.nodes import Node

if TYPE_CHECKING:
    from mdhtml.context import Context

Lines = list[str]
Found = Optional[tuple[tuple[Node, ...], int]]
"""The nodes that were read, and where to go on; None when the rule does not apply."""


def _never(lines: Lines, at: int) -> bool:
    return False


@dataclass(frozen=True)
class BlockRule:
    """`interrupts` says whether the block may begin at a line inside a paragraph."""

    name: str
    priority: int
    parse: Callable[[Lines, int, Context], Found]
    interrupts: Callable[[Lines, int], bool] = _never
    optional: bool = False


@dataclass(frozen=True)
class InlineRule:
    """`triggers`: the characters at which the rule is tried."""

    name: str
    priority: int
    triggers: str
    parse: Callable[[str, int, Context], Found]
    optional: bool = False


def _same_lines(lines: Lines, context: Context) -> Lines:
    return lines


def _same_nodes(nodes: tuple[Node, ...], context: Context) -> tuple[Node, ...]:
    return nodes


@dataclass(frozen=True)
class Pass:
    """`before` changes the lines of a document, `after` its nodes."""

    name: str
    priority: int
    before: Callable[[Lines, Context], Lines] = _same_lines
    after: Callable[[tuple[Node, ...], Context], tuple[Node, ...]] = _same_nodes
    optional: bool = False


def load(package: str, names: Iterable[str]) -> list:
    """The rules of a package, by priority; rules of one priority by name."""
    rules = [importlib.import_module(f"{package}.{name}").RULE for name in names]
    return sorted(rules, key=lambda rule: (rule.priority, rule.name))

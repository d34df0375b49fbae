"""The document model: a tree of HTML elements and text, and how it is written out."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Iterable, Iterator, Union

VOID = frozenset({"br", "hr", "img", "input"})


@dataclass(frozen=True)
class Text:
    """Text as it was meant; escaped when it is written out."""

    text: str


@dataclass(frozen=True)
class Raw:
    """HTML that is written out as it is."""

    html: str


@dataclass(frozen=True)
class Element:
    tag: str
    children: tuple[Node, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)


Node = Union[Text, Raw, Element]


def render(nodes: Iterable[Node]) -> str:
    return "".join(map(_render, nodes))


def plain(nodes: Iterable[Node]) -> str:
    """The text in the nodes, without any markup."""
    return "".join(node.text if isinstance(node, Text) else plain(getattr(node, "children", ())) for node in nodes)


def walk(nodes: Iterable[Node]) -> Iterator[Element]:
    """All elements, outer ones before what they hold."""
    for node in nodes:
        if isinstance(node, Element):
            yield node
            yield from walk(node.children)


def _render(node: Node) -> str:
    if isinstance(node, Text):
        return html.escape(node.text, quote=False)
    if isinstance(node, Raw):
        return node.html
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in node.attributes.items())
    if node.tag in VOID:
        return f"<{node.tag}{attributes}>"
    return f"<{node.tag}{attributes}>{render(node.children)}</{node.tag}>"

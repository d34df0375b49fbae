"""A table of contents, on request: a paragraph `[TOC]` becomes nested lists of the headings."""

from __future__ import annotations

from mdhtml.context import Context
from mdhtml.nodes import Element, Node, plain
from mdhtml.rules import Pass

LEVELS = {f"h{level}": level for level in range(1, 7)}


def after(nodes: tuple[Node, ...], context: Context) -> tuple[Node, ...]:
    headings = [node for node in nodes if isinstance(node, Element) and node.tag in LEVELS]
    return tuple(_contents(headings) if _is_place(node) else node for node in nodes)


def _is_place(node: Node) -> bool:
    return isinstance(node, Element) and node.tag == "p" and plain(node.children) == "[TOC]"


def _contents(headings: list[Element]) -> Element:
    return Element("nav", (_list(headings),) if headings else ())


def _list(headings: list[Element]) -> Element:
    """Headings as a list; deeper ones than the first of a run go into a list below it."""
    items: list[Node] = []
    at = 0
    while at < len(headings):
        level = LEVELS[headings[at].tag]
        end = at + 1
        while end < len(headings) and LEVELS[headings[end].tag] > level:
            end += 1
        below = headings[at + 1 : end]
        items.append(Element("li", (_entry(headings[at]), *([_list(below)] if below else []))))
        at = end
    return Element("ul", tuple(items))


def _entry(heading: Element) -> Element:
    slug = heading.attributes.get("id")
    return Element("a" if slug else "span", heading.children, {"href": f"#{slug}"} if slug else {})


# After slugs, which the entries link to.
RULE = Pass("table of contents", 70, after=after, optional=True)

"""Slugs, on request: every heading gets an id made of its text, each one only once."""

import re
from dataclasses import replace

from mdhtml.context import Context
from mdhtml.nodes import Element, Node, plain
from mdhtml.rules import Pass

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


def after(nodes: tuple[Node, ...], context: Context) -> tuple[Node, ...]:
    used: set[str] = set()
    return tuple(_named(node, used) if isinstance(node, Element) and node.tag in HEADINGS else node for node in nodes)


def _named(heading: Element, used: set[str]) -> Element:
    words = re.findall(r"\w+", plain(heading.children).casefold())
    slug = wanted = "-".join(words) or "section"
    number = 1
    while slug in used:
        number += 1
        slug = f"{wanted}-{number}"
    used.add(slug)
    return replace(heading, attributes={**heading.attributes, "id": slug})


RULE = Pass("slugs", 60, after=after, optional=True)

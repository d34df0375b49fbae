"""A document from Markdown to HTML, each block on a line of its own."""

from __future__ import annotations

from typing import Collection

from mdhtml.context import Context
from mdhtml.nodes import render


def convert(text: str, without: Collection[str] = (), extra: Collection[str] = ()) -> str:
    """HTML for a Markdown text. `without` takes rules away, `extra` adds optional ones, both by name."""
    context = Context(without, extra)
    lines = text.expandtabs(4).splitlines()
    for one in context.passes:
        lines = one.before(lines, context)
    nodes = context.blocks(lines)
    for one in context.passes:
        nodes = one.after(nodes, context)
    return "".join(render([node]) + "\n" for node in nodes)

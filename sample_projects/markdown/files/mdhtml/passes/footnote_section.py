"""The notes of a document, as a list at its end."""

from mdhtml.context import Context
from mdhtml.nodes import Element, Node
from mdhtml.rules import Pass


def after(nodes: tuple[Node, ...], context: Context) -> tuple[Node, ...]:
    if not context.notes:
        return nodes
    items = tuple(Element("li", text, {"id": f"note-{label}"}) for label, text in context.notes.items())
    return (*nodes, Element("section", (Element("ol", items),), {"class": "footnotes"}))


RULE = Pass("footnote section", 90, after=after)

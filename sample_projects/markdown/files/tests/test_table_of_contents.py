import unittest

from mdhtml.context import Context
from mdhtml.nodes import Element, Text, render
from mdhtml.passes.table_of_contents import after

PLACE = Element("p", (Text("[TOC]"),))


def heading(level: int, text: str, slug: str = "") -> Element:
    return Element(f"h{level}", (Text(text),), {"id": slug} if slug else {})


def contents(*headings: Element) -> str:
    return render(after((PLACE, *headings), Context())[:1])


class TableOfContentsTest(unittest.TestCase):
    def test_entries_link_to_their_headings(self) -> None:
        self.assertEqual(contents(heading(1, "A", "a")), '<nav><ul><li><a href="#a">A</a></li></ul></nav>')

    def test_deeper_headings_nest(self) -> None:
        self.assertEqual(
            contents(heading(1, "A"), heading(2, "B"), heading(1, "C")),
            "<nav><ul><li><span>A</span><ul><li><span>B</span></li></ul></li><li><span>C</span></li></ul></nav>",
        )

    def test_without_its_place_nothing_changes(self) -> None:
        nodes = (heading(1, "A"),)
        self.assertEqual(after(nodes, Context()), nodes)

    def test_without_headings_it_is_empty(self) -> None:
        self.assertEqual(contents(), "<nav></nav>")


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.nodes import Element, Raw, Text, plain, render, walk


class NodesTest(unittest.TestCase):
    def test_text_is_escaped_and_raw_html_is_not(self) -> None:
        self.assertEqual(render([Text("a < b"), Raw("<hr>")]), "a &lt; b<hr>")

    def test_attributes_are_escaped(self) -> None:
        self.assertEqual(render([Element("a", (), {"title": 'say "x"'})]), '<a title="say &quot;x&quot;"></a>')

    def test_void_elements_have_no_end(self) -> None:
        self.assertEqual(render([Element("br")]), "<br>")

    def test_plain_leaves_the_markup_out(self) -> None:
        self.assertEqual(plain([Text("a "), Element("em", (Text("b"),)), Raw("<i>")]), "a b")

    def test_walk_goes_from_outside_in(self) -> None:
        tree = Element("ul", (Element("li", (Element("p"),)), Element("li")))
        self.assertEqual([node.tag for node in walk([tree])], ["ul", "li", "p", "li"])


if __name__ == "__main__":
    unittest.main()

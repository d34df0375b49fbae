import unittest

from mdhtml.context import Context
from mdhtml.nodes import Element, Text, render
from mdhtml.passes.slugs import after


def named(*texts: str) -> str:
    return render(after(tuple(Element("h2", (Text(text),)) for text in texts), Context()))


class SlugsTest(unittest.TestCase):
    def test_words_are_joined(self) -> None:
        self.assertEqual(named("Hello, World!"), '<h2 id="hello-world">Hello, World!</h2>')

    def test_each_slug_is_used_once(self) -> None:
        self.assertEqual(named("A", "a"), '<h2 id="a">A</h2><h2 id="a-2">a</h2>')

    def test_a_heading_without_words_has_one_too(self) -> None:
        self.assertEqual(named("?"), '<h2 id="section">?</h2>')


if __name__ == "__main__":
    unittest.main()

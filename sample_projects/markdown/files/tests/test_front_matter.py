import unittest

from mdhtml.context import Context
from mdhtml.convert import convert
from mdhtml.passes.front_matter import before


class FrontMatterTest(unittest.TestCase):
    def test_it_is_taken_out(self) -> None:
        self.assertEqual(convert("---\ntitle: A\n---\ntext"), "<p>text</p>\n")

    def test_its_facts_are_kept(self) -> None:
        context = Context()
        self.assertEqual(before(["---", "title: A: b", "by: me", "---", "text"], context), ["text"])
        self.assertEqual(context.facts, {"title": "A: b", "by": "me"})

    def test_other_lines_between_dashes_are_none(self) -> None:
        context = Context()
        lines = ["---", "a: b", "no fact", "---"]
        self.assertEqual((before(lines, context), context.facts), (lines, {}))


if __name__ == "__main__":
    unittest.main()

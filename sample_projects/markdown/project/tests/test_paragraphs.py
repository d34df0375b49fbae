import unittest

from mdhtml.convert import convert


class ParagraphsTest(unittest.TestCase):
    def test_a_blank_line_ends_a_paragraph(self) -> None:
        self.assertEqual(convert("one\ntwo\n\nthree"), "<p>one\ntwo</p>\n<p>three</p>\n")

    def test_markup_in_the_text_is_escaped(self) -> None:
        self.assertEqual(convert("a < b & c"), "<p>a &lt; b &amp; c</p>\n")

    def test_a_rule_can_be_taken_away(self) -> None:
        self.assertEqual(convert("text", without=["paragraphs"]), "")

    def test_nothing_becomes_nothing(self) -> None:
        self.assertEqual(convert(" \n\n"), "")


if __name__ == "__main__":
    unittest.main()

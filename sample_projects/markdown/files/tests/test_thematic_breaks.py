import unittest

from mdhtml.convert import convert


class ThematicBreaksTest(unittest.TestCase):
    def test_stars_and_underscores_make_a_break(self) -> None:
        self.assertEqual(convert("***\n\n___"), "<hr>\n<hr>\n")

    def test_blanks_may_stand_between(self) -> None:
        self.assertEqual(convert("* * *"), "<hr>\n")

    def test_a_break_ends_a_paragraph(self) -> None:
        self.assertEqual(convert("text\n***"), "<p>text</p>\n<hr>\n")

    def test_two_are_too_few(self) -> None:
        self.assertEqual(convert("__"), "<p>__</p>\n")


if __name__ == "__main__":
    unittest.main()

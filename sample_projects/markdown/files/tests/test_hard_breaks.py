import unittest

from mdhtml.convert import convert


class HardBreaksTest(unittest.TestCase):
    def test_two_blanks_break_the_line(self) -> None:
        self.assertEqual(convert("one  \ntwo"), "<p>one<br>\ntwo</p>\n")

    def test_a_backslash_does_too(self) -> None:
        self.assertEqual(convert("one\\\ntwo"), "<p>one<br>\ntwo</p>\n")

    def test_the_end_of_a_paragraph_is_none(self) -> None:
        self.assertEqual(convert("one  \n\ntwo"), "<p>one</p>\n<p>two</p>\n")


if __name__ == "__main__":
    unittest.main()

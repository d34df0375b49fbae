import unittest

from mdhtml.convert import convert


class EscapesTest(unittest.TestCase):
    def test_punctuation_loses_its_meaning(self) -> None:
        self.assertEqual(convert("\\*a\\* \\# \\[b\\]"), "<p>*a* # [b]</p>\n")

    def test_other_characters_keep_the_backslash(self) -> None:
        self.assertEqual(convert("a\\b"), "<p>a\\b</p>\n")

    def test_a_backslash_escapes_itself(self) -> None:
        self.assertEqual(convert("a\\\\b"), "<p>a\\b</p>\n")


if __name__ == "__main__":
    unittest.main()

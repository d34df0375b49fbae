import unittest

from mdhtml.convert import convert


class SmartPunctuationTest(unittest.TestCase):
    def test_quotes_are_curled(self) -> None:
        self.assertEqual(convert('"It\'s" \'so\'', extra=["smart punctuation"]), "<p>“It’s” ‘so’</p>\n")

    def test_dashes_and_the_ellipsis(self) -> None:
        self.assertEqual(convert("1--2 a---b so...", extra=["smart punctuation"]), "<p>1–2 a—b so…</p>\n")


if __name__ == "__main__":
    unittest.main()

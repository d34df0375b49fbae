import unittest

from mdhtml.convert import convert


class CodeSpansTest(unittest.TestCase):
    def test_code_is_taken_as_it_is(self) -> None:
        self.assertEqual(convert("`a < *b*`"), "<p><code>a &lt; *b*</code></p>\n")

    def test_two_backticks_hold_one(self) -> None:
        self.assertEqual(convert("`` a`b ``"), "<p><code>a`b</code></p>\n")

    def test_an_open_span_is_text(self) -> None:
        self.assertEqual(convert("a ` b"), "<p>a ` b</p>\n")


if __name__ == "__main__":
    unittest.main()

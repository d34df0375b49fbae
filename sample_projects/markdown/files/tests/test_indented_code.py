import unittest

from mdhtml.convert import convert


class IndentedCodeTest(unittest.TestCase):
    def test_four_blanks_make_code(self) -> None:
        self.assertEqual(convert("    a = 1\n      b"), "<pre><code>a = 1\n  b\n</code></pre>\n")

    def test_blank_lines_inside_belong_to_it(self) -> None:
        self.assertEqual(convert("    a\n\n    b\n\ntext"), "<pre><code>a\n\nb\n</code></pre>\n<p>text</p>\n")

    def test_a_paragraph_goes_on_over_it(self) -> None:
        self.assertEqual(convert("text\n    more"), "<p>text\nmore</p>\n")


if __name__ == "__main__":
    unittest.main()

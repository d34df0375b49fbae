import unittest

from mdhtml.convert import convert


class BlockQuotesTest(unittest.TestCase):
    def test_quoted_lines_make_one_quote(self) -> None:
        self.assertEqual(convert("> one\n> two"), "<blockquote><p>one\ntwo</p></blockquote>\n")

    def test_a_paragraph_goes_on_without_the_sign(self) -> None:
        self.assertEqual(convert("> one\ntwo"), "<blockquote><p>one\ntwo</p></blockquote>\n")

    def test_quotes_nest(self) -> None:
        self.assertEqual(
            convert("> one\n> > two"),
            "<blockquote><p>one</p><blockquote><p>two</p></blockquote></blockquote>\n",
        )

    def test_a_blank_line_ends_it(self) -> None:
        self.assertEqual(convert("> one\n\ntwo"), "<blockquote><p>one</p></blockquote>\n<p>two</p>\n")


if __name__ == "__main__":
    unittest.main()

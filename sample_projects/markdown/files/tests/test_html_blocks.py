import unittest

from mdhtml.convert import convert


class HtmlBlocksTest(unittest.TestCase):
    def test_a_block_is_taken_as_it_is(self) -> None:
        self.assertEqual(convert('<div class="x">\na & b\n</div>'), '<div class="x">\na & b\n</div>\n')

    def test_a_blank_line_ends_it(self) -> None:
        self.assertEqual(convert("<table>\n\ntext"), "<table>\n<p>text</p>\n")

    def test_comments_are_blocks(self) -> None:
        self.assertEqual(convert("<!-- note -->\n\ntext"), "<!-- note -->\n<p>text</p>\n")

    def test_other_tags_are_text(self) -> None:
        self.assertEqual(convert("<b>bold</b>"), "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n")


if __name__ == "__main__":
    unittest.main()

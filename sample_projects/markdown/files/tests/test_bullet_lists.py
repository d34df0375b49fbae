import unittest

from mdhtml.convert import convert


class BulletListsTest(unittest.TestCase):
    def test_dashes_make_items(self) -> None:
        self.assertEqual(convert("- one\n- two"), "<ul><li>one</li><li>two</li></ul>\n")

    def test_blank_lines_make_a_loose_list(self) -> None:
        self.assertEqual(convert("- one\n\n- two"), "<ul><li><p>one</p></li><li><p>two</p></li></ul>\n")

    def test_another_sign_begins_another_list(self) -> None:
        self.assertEqual(convert("- one\n+ two"), "<ul><li>one</li></ul>\n<ul><li>two</li></ul>\n")

    def test_text_goes_on_under_its_item(self) -> None:
        self.assertEqual(convert("- one\nmore\n\ntext"), "<ul><li>one\nmore</li></ul>\n<p>text</p>\n")

    def test_without_a_blank_it_is_text(self) -> None:
        self.assertEqual(convert("-one"), "<p>-one</p>\n")


if __name__ == "__main__":
    unittest.main()

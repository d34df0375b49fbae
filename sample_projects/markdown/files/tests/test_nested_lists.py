import unittest

from mdhtml.convert import convert


class NestedListsTest(unittest.TestCase):
    def test_indented_items_nest(self) -> None:
        self.assertEqual(
            convert("- one\n  - two\n- three"),
            "<ul><li>one<ul><li>two</li></ul></li><li>three</li></ul>\n",
        )

    def test_kinds_mix(self) -> None:
        self.assertEqual(
            convert("1. one\n   - two\n   - three\n2. four"),
            "<ol><li>one<ul><li>two</li><li>three</li></ul></li><li>four</li></ol>\n",
        )

    def test_three_levels(self) -> None:
        self.assertEqual(convert("- a\n  - b\n    - c"), "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>\n")

    def test_a_loose_item_holds_paragraphs(self) -> None:
        self.assertEqual(convert("- a\n\n  b"), "<ul><li><p>a</p><p>b</p></li></ul>\n")


if __name__ == "__main__":
    unittest.main()

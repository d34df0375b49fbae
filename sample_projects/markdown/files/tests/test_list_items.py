import re
import unittest

from mdhtml.context import Context
from mdhtml.items import gather

MARKER = re.compile(r" {0,3}-(?: +|$)")


def gathered(text: str) -> tuple[list[list[str]], bool]:
    items = gather(text.split("\n"), 0, MARKER, Context())
    return items.items, items.loose


class ListItemsTest(unittest.TestCase):
    def test_each_marker_begins_an_item(self) -> None:
        self.assertEqual(gathered("- a\n- b"), ([["a"], ["b"]], False))

    def test_indented_lines_belong_to_the_item(self) -> None:
        self.assertEqual(gathered("- a\n  - b\n  c"), ([["a", "- b", "c"]], False))

    def test_a_blank_line_inside_makes_it_loose(self) -> None:
        self.assertEqual(gathered("- a\n\n  b"), ([["a", "", "b"]], True))

    def test_a_blank_line_at_the_end_does_not(self) -> None:
        self.assertEqual(gathered("- a\n\ntext"), ([["a"]], False))


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.convert import convert


class OrderedListsTest(unittest.TestCase):
    def test_numbers_make_items(self) -> None:
        self.assertEqual(convert("1. one\n2. two"), "<ol><li>one</li><li>two</li></ol>\n")

    def test_the_first_number_counts(self) -> None:
        self.assertEqual(convert("3) three\n9) four"), '<ol start="3"><li>three</li><li>four</li></ol>\n')

    def test_a_year_in_a_text_is_no_list(self) -> None:
        self.assertEqual(convert("It was in\n1984. Or so."), "<p>It was in\n1984. Or so.</p>\n")

    def test_a_list_may_follow_text(self) -> None:
        self.assertEqual(convert("text\n1. one"), "<p>text</p>\n<ol><li>one</li></ol>\n")


if __name__ == "__main__":
    unittest.main()

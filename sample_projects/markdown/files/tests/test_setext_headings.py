import unittest

from mdhtml.convert import convert


class SetextHeadingsTest(unittest.TestCase):
    def test_equals_signs_make_the_first_level(self) -> None:
        self.assertEqual(convert("One\n==="), "<h1>One</h1>\n")

    def test_dashes_make_the_second_level(self) -> None:
        self.assertEqual(convert("Two\n---"), "<h2>Two</h2>\n")

    def test_a_heading_may_have_several_lines(self) -> None:
        self.assertEqual(convert("One\nmore\n===\ntext"), "<h1>One\nmore</h1>\n<p>text</p>\n")

    def test_a_blank_line_comes_between(self) -> None:
        self.assertEqual(convert("One\n\n==="), "<p>One</p>\n<p>===</p>\n")


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.convert import convert


class HeadingsTest(unittest.TestCase):
    def test_the_number_of_signs_is_the_level(self) -> None:
        self.assertEqual(convert("# One\n###### Six"), "<h1>One</h1>\n<h6>Six</h6>\n")

    def test_signs_at_the_end_are_left_out(self) -> None:
        self.assertEqual(convert("## Two ##"), "<h2>Two</h2>\n")

    def test_a_heading_ends_a_paragraph(self) -> None:
        self.assertEqual(convert("text\n# One"), "<p>text</p>\n<h1>One</h1>\n")

    def test_without_a_blank_it_is_text(self) -> None:
        self.assertEqual(convert("#hash\n\n####### seven"), "<p>#hash</p>\n<p>####### seven</p>\n")


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.convert import convert


class StrongTest(unittest.TestCase):
    def test_double_stars_and_underscores(self) -> None:
        self.assertEqual(convert("**a** and __b c__"), "<p><strong>a</strong> and <strong>b c</strong></p>\n")

    def test_underscores_inside_words_mean_nothing(self) -> None:
        self.assertEqual(convert("a__b__c"), "<p>a__b__c</p>\n")

    def test_open_ends_are_text(self) -> None:
        self.assertEqual(convert("2 ** 3"), "<p>2 ** 3</p>\n")


if __name__ == "__main__":
    unittest.main()

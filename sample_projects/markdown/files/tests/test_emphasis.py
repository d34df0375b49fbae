import unittest

from mdhtml.convert import convert


class EmphasisTest(unittest.TestCase):
    def test_stars_and_underscores(self) -> None:
        self.assertEqual(convert("*a* and _b c_"), "<p><em>a</em> and <em>b c</em></p>\n")

    def test_underscores_inside_words_mean_nothing(self) -> None:
        self.assertEqual(convert("a_b_c"), "<p>a_b_c</p>\n")

    def test_stars_inside_words_do(self) -> None:
        self.assertEqual(convert("un*believ*able"), "<p>un<em>believ</em>able</p>\n")

    def test_lonely_stars_are_text(self) -> None:
        self.assertEqual(convert("2 * 3 * 4"), "<p>2 * 3 * 4</p>\n")


if __name__ == "__main__":
    unittest.main()

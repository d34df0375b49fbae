import unittest

from mdhtml.convert import convert


class EntitiesTest(unittest.TestCase):
    def test_names_and_numbers(self) -> None:
        self.assertEqual(convert("&copy; &#169; &#xA9;"), "<p>© © ©</p>\n")

    def test_what_must_be_escaped_stays_so(self) -> None:
        self.assertEqual(convert("&lt;b&gt; &amp;"), "<p>&lt;b&gt; &amp;</p>\n")

    def test_unknown_names_are_text(self) -> None:
        self.assertEqual(convert("&nonsense; a & b"), "<p>&amp;nonsense; a &amp; b</p>\n")


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.convert import convert


class FootnoteReferencesTest(unittest.TestCase):
    def test_a_reference_is_raised(self) -> None:
        self.assertEqual(convert("text[^1]"), '<p>text<sup><a href="#note-1">1</a></sup></p>\n')

    def test_labels_may_be_words(self) -> None:
        self.assertEqual(convert("[^see-also]"), '<p><sup><a href="#note-see-also">see-also</a></sup></p>\n')

    def test_blanks_make_it_text(self) -> None:
        self.assertEqual(convert("[^a b]"), "<p>[^a b]</p>\n")


if __name__ == "__main__":
    unittest.main()

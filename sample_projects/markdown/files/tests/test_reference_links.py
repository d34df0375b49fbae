import unittest

from mdhtml.convert import convert


class ReferenceLinksTest(unittest.TestCase):
    def test_the_target_stands_elsewhere(self) -> None:
        self.assertEqual(
            convert('[text][Home]\n\n[home]: http://x.org "Title"'),
            '<p><a href="http://x.org" title="Title">text</a></p>\n',
        )

    def test_the_text_can_be_the_label(self) -> None:
        self.assertEqual(
            convert("[home] or [home][]\n\n[home]: /"),
            '<p><a href="/">home</a> or <a href="/">home</a></p>\n',
        )

    def test_the_first_definition_counts(self) -> None:
        self.assertEqual(convert("[a]\n\n[a]: /1\n[a]: /2"), '<p><a href="/1">a</a></p>\n')

    def test_unknown_labels_are_text(self) -> None:
        self.assertEqual(convert("[a][b]"), "<p>[a][b]</p>\n")


if __name__ == "__main__":
    unittest.main()

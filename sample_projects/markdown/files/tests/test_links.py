import unittest

from mdhtml.convert import convert


class LinksTest(unittest.TestCase):
    def test_text_and_target(self) -> None:
        self.assertEqual(convert("[a b](http://x.org/y)"), '<p><a href="http://x.org/y">a b</a></p>\n')

    def test_a_title_is_kept(self) -> None:
        self.assertEqual(convert('[a](/b "c & d")'), '<p><a href="/b" title="c &amp; d">a</a></p>\n')

    def test_an_empty_target_is_allowed(self) -> None:
        self.assertEqual(convert("[a]()"), '<p><a href="">a</a></p>\n')

    def test_brackets_alone_are_text(self) -> None:
        self.assertEqual(convert("[a] (b)"), "<p>[a] (b)</p>\n")


if __name__ == "__main__":
    unittest.main()

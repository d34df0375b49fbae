import unittest

from mdhtml.convert import convert


class AutolinksTest(unittest.TestCase):
    def test_addresses_of_the_web(self) -> None:
        self.assertEqual(
            convert("<http://x.org/?a=1&b=2>"),
            '<p><a href="http://x.org/?a=1&amp;b=2">http://x.org/?a=1&amp;b=2</a></p>\n',
        )

    def test_addresses_of_mail(self) -> None:
        self.assertEqual(convert("<me@x.org>"), '<p><a href="mailto:me@x.org">me@x.org</a></p>\n')

    def test_other_brackets_are_text(self) -> None:
        self.assertEqual(convert("a <b c>"), "<p>a &lt;b c&gt;</p>\n")


if __name__ == "__main__":
    unittest.main()

import io
import unittest

from mdhtml.cli import main
from mdhtml.page import page


class PageTest(unittest.TestCase):
    def test_the_title_is_escaped_and_the_body_is_not(self) -> None:
        whole = page("<p>a</p>\n", "a < b")
        self.assertIn("<title>a &lt; b</title>", whole)
        self.assertIn("<body>\n<p>a</p>\n</body>", whole)

    def test_the_option_makes_a_page(self) -> None:
        out = io.StringIO()
        main(["--page", "Title"], io.StringIO("text"), out)
        self.assertTrue(out.getvalue().startswith("<!doctype html>"))

    def test_braces_in_the_text_are_harmless(self) -> None:
        self.assertIn("{title}", page("{title}", "x"))


if __name__ == "__main__":
    unittest.main()

import io
import unittest

from mdhtml.cli import main
from mdhtml.text import without_tags


class TextTest(unittest.TestCase):
    def test_tags_go_and_entities_are_characters(self) -> None:
        self.assertEqual(without_tags("<p>fish &amp; <em>chips</em></p>\n"), "fish & chips\n")

    def test_the_option_writes_the_text_alone(self) -> None:
        out = io.StringIO()
        main(["--text"], io.StringIO("Plain words."), out)
        self.assertEqual(out.getvalue(), "Plain words.\n")


if __name__ == "__main__":
    unittest.main()

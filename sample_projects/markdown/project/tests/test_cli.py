import io
import unittest

from mdhtml.cli import main


class CommandLineTest(unittest.TestCase):
    def test_the_standard_input_is_converted(self) -> None:
        out = io.StringIO()
        self.assertEqual(main([], io.StringIO("text"), out), 0)
        self.assertEqual(out.getvalue(), "<p>text</p>\n")

    def test_rules_are_taken_away_by_name(self) -> None:
        out = io.StringIO()
        main(["--without", "paragraphs"], io.StringIO("text"), out)
        self.assertEqual(out.getvalue(), "")


if __name__ == "__main__":
    unittest.main()

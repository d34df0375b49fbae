import contextlib
import io
import unittest

from mdhtml.cli import main
from mdhtml.listing import listing


class ListingTest(unittest.TestCase):
    def test_every_kind_of_rule_is_listed(self) -> None:
        self.assertIn("paragraphs\n", listing())

    def test_the_option_lists_and_ends(self) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), self.assertRaises(SystemExit) as ended:
            main(["--rules"], io.StringIO(""), io.StringIO())
        self.assertEqual((ended.exception.code, out.getvalue()), (0, listing()))


if __name__ == "__main__":
    unittest.main()

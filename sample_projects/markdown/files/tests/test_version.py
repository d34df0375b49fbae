import contextlib
import io
import unittest

from mdhtml.cli import main
from mdhtml.version import VERSION


class VersionTest(unittest.TestCase):
    def test_the_option_tells_the_version_and_ends(self) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), self.assertRaises(SystemExit) as ended:
            main(["--version"], io.StringIO(""), io.StringIO())
        self.assertEqual((ended.exception.code, out.getvalue()), (0, f"mdhtml {VERSION}\n"))


if __name__ == "__main__":
    unittest.main()

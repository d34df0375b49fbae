import re
import unittest
from pathlib import Path

from mdhtml.listing import listing

README = Path(__file__).parent.parent / "README.md"


class ReadmeTest(unittest.TestCase):
    def test_every_rule_in_the_table_is_one(self) -> None:
        rows = re.findall(r"^\| ([a-z ]+) \| `", README.read_text(encoding="utf-8"), re.MULTILINE)
        rules = {line.removesuffix(" (on request)") for line in listing().splitlines()}
        self.assertGreater(len(rows), 20)
        self.assertEqual([row for row in rows if row not in rules], [])


if __name__ == "__main__":
    unittest.main()

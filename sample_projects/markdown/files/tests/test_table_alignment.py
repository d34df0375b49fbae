import unittest

from mdhtml.tables.alignment import alignment


class AlignmentTest(unittest.TestCase):
    def test_colons_say_the_side(self) -> None:
        self.assertEqual(alignment("| :-- | --: | :-: | --- |"), ["left", "right", "center", ""])

    def test_bars_around_may_be_missing(self) -> None:
        self.assertEqual(alignment("---|:-"), ["", "left"])

    def test_other_lines_are_none(self) -> None:
        for line in ("---", "| a |", "| - - |", "| :: |", ""):
            self.assertIsNone(alignment(line), line)


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.tables.cells import cells


class CellsTest(unittest.TestCase):
    def test_bars_divide_and_may_stand_around(self) -> None:
        self.assertEqual(cells("| a | b |"), ["a", "b"])
        self.assertEqual(cells("a|b"), ["a", "b"])

    def test_empty_cells_count(self) -> None:
        self.assertEqual(cells("| a | | c |"), ["a", "", "c"])

    def test_an_escaped_bar_is_text(self) -> None:
        self.assertEqual(cells(r"| a \| b | c |"), ["a | b", "c"])

    def test_a_bar_in_code_is_text(self) -> None:
        self.assertEqual(cells("| `a | b` | c |"), ["`a | b`", "c"])


if __name__ == "__main__":
    unittest.main()

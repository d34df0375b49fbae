import unittest

from mdhtml.convert import convert


class TablesTest(unittest.TestCase):
    def test_header_and_rows(self) -> None:
        self.assertEqual(
            convert("| a | b |\n| --- | --- |\n| 1 | 2 |"),
            "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>\n",
        )

    def test_columns_are_aligned(self) -> None:
        self.assertEqual(
            convert("a | b\n:-: | --:"),
            '<table><thead><tr><th style="text-align: center">a</th><th style="text-align: right">b</th></tr></thead></table>\n',
        )

    def test_missing_cells_are_empty_and_surplus_ones_left_out(self) -> None:
        self.assertEqual(
            convert("|a|b|\n|-|-|\n|1|\n|1|2|3|"),
            "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td></td></tr><tr><td>1</td><td>2</td></tr></tbody></table>\n",
        )

    def test_an_escaped_bar_divides_nothing(self) -> None:
        self.assertEqual(
            convert("|a|\n|-|\n|1 \\| 2|"),
            "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1 | 2</td></tr></tbody></table>\n",
        )

    def test_bars_alone_are_text(self) -> None:
        self.assertEqual(convert("a | b"), "<p>a | b</p>\n")


if __name__ == "__main__":
    unittest.main()

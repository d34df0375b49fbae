import unittest

from mdhtml.convert import convert


class StrikethroughTest(unittest.TestCase):
    def test_double_tildes_strike_out(self) -> None:
        self.assertEqual(convert("~~old~~ new"), "<p><del>old</del> new</p>\n")

    def test_single_and_triple_tildes_are_text(self) -> None:
        self.assertEqual(convert("~a~ ~~~b~~~"), "<p>~a~ ~~~b~~~</p>\n")


if __name__ == "__main__":
    unittest.main()

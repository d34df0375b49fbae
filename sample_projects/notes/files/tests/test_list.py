import unittest

from tests.running import run


class ListTest(unittest.TestCase):
    def test_open_notes_are_printed(self) -> None:
        status, output, _ = run("list", notes=("plants", "cat"), done=(1,))
        self.assertEqual((status, output), (0, "2  cat\n"))

    def test_all_marks_the_done_ones(self) -> None:
        _, output, _ = run("list", "--all", notes=("plants", "cat"), done=(1,))
        self.assertEqual(output, "x 1  plants\n  2  cat\n")

    def test_no_notes_print_nothing(self) -> None:
        self.assertEqual(run("list"), (0, "", []))


if __name__ == "__main__":
    unittest.main()

import unittest

from tests.running import run


class DoneTest(unittest.TestCase):
    def test_a_note_is_marked(self) -> None:
        status, output, left = run("done", "2", notes=("plants", "cat"))
        self.assertEqual((status, output, left), (0, "done: cat\n", ["1 plants", "2 x cat"]))

    def test_an_unknown_id_is_exit_status_2(self) -> None:
        status, output, left = run("done", "7", notes=("plants",))
        self.assertEqual((status, output, left), (2, "", ["1 plants"]))


if __name__ == "__main__":
    unittest.main()

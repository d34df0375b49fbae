import unittest

from tests.running import run


class RemoveTest(unittest.TestCase):
    def test_a_note_is_deleted(self) -> None:
        status, output, left = run("remove", "1", notes=("plants", "cat"))
        self.assertEqual((status, output, left), (0, "removed: plants\n", ["2 cat"]))

    def test_an_unknown_id_is_exit_status_2(self) -> None:
        self.assertEqual(run("remove", "7"), (2, "", []))


if __name__ == "__main__":
    unittest.main()

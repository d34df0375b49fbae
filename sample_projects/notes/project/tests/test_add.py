import unittest

from tests.running import run


class AddTest(unittest.TestCase):
    def test_a_note_gets_the_next_id(self) -> None:
        status, output, left = run("add", "feed", "the cat", notes=("water the plants",))
        self.assertEqual((status, output), (0, "2  feed the cat\n"))
        self.assertEqual(left, ["1 water the plants", "2 feed the cat"])


if __name__ == "__main__":
    unittest.main()

import unittest

from parts.part_00001 import apply


class Part1Test(unittest.TestCase):
    def test_it_doubles(self) -> None:
        self.assertEqual(apply(0), 0)
        self.assertEqual(apply(3), 6)


if __name__ == "__main__":
    unittest.main()

import unittest

from parts.part_00000 import apply


class Part0Test(unittest.TestCase):
    def test_it_changes_nothing(self) -> None:
        self.assertEqual(apply(0), 0)
        self.assertEqual(apply(3), 3)


if __name__ == "__main__":
    unittest.main()

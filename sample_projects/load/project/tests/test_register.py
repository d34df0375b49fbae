import importlib
import unittest

from parts.register import PARTS


class RegisterTest(unittest.TestCase):
    def test_each_part_stands_once(self) -> None:
        self.assertEqual(sorted(PARTS), sorted(set(PARTS)))

    def test_each_part_is_there(self) -> None:
        for name in PARTS:
            self.assertTrue(callable(importlib.import_module(f"parts.{name}").apply))


if __name__ == "__main__":
    unittest.main()

import unittest

from tests.running import run


class SearchTest(unittest.TestCase):
    def test_case_does_not_matter(self) -> None:
        status, output, _ = run("search", "CAT", notes=("feed the cat", "plants", "Cat food"))
        self.assertEqual((status, output), (0, "1  feed the cat\n3  Cat food\n"))

    def test_no_hit_is_exit_status_1(self) -> None:
        status, output, _ = run("search", "dog", notes=("feed the cat",))
        self.assertEqual((status, output), (1, ""))


if __name__ == "__main__":
    unittest.main()

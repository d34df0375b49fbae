import unittest

from tests.running import run


class ExportTest(unittest.TestCase):
    def test_notes_become_a_task_list(self) -> None:
        status, output, _ = run("export", notes=("plants", "cat"), done=(2,))
        self.assertEqual((status, output), (0, "- [ ] plants\n- [x] cat\n"))


if __name__ == "__main__":
    unittest.main()

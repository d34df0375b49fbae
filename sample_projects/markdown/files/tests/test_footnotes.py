import unittest

from mdhtml.convert import convert


class FootnotesTest(unittest.TestCase):
    def test_notes_stand_at_the_end(self) -> None:
        self.assertEqual(
            convert("[^1]: a note\n\ntext"),
            '<p>text</p>\n<section class="footnotes"><ol><li id="note-1">a note</li></ol></section>\n',
        )

    def test_a_note_may_go_on(self) -> None:
        self.assertEqual(
            convert("[^a]: one\n  two\n[^b]: three"),
            '<section class="footnotes"><ol><li id="note-a">one\ntwo</li><li id="note-b">three</li></ol></section>\n',
        )

    def test_without_notes_there_is_no_section(self) -> None:
        self.assertEqual(convert("text"), "<p>text</p>\n")


if __name__ == "__main__":
    unittest.main()

import unittest

from mdhtml.context import Context
from mdhtml.nodes import Element, Text, render
from mdhtml.passes.task_lists import after


def checked(*texts: str, inner: str = "") -> str:
    items = tuple(Element("li", (Element(inner, (Text(text),)),) if inner else (Text(text),)) for text in texts)
    return render(after((Element("ul", items),), Context()))


OPEN = '<input type="checkbox" disabled="">'
DONE = '<input type="checkbox" disabled="" checked="">'


class TaskListsTest(unittest.TestCase):
    def test_boxes_are_open_or_checked(self) -> None:
        self.assertEqual(checked("[ ] a", "[x] b"), f"<ul><li>{OPEN} a</li><li>{DONE} b</li></ul>")

    def test_a_loose_list_has_them_too(self) -> None:
        self.assertEqual(checked("[X] a", inner="p"), f"<ul><li><p>{DONE} a</p></li></ul>")

    def test_other_items_stay_as_they_are(self) -> None:
        self.assertEqual(checked("a [ ] b", "[ ]"), "<ul><li>a [ ] b</li><li>[ ]</li></ul>")


if __name__ == "__main__":
    unittest.main()

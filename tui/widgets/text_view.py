"""A scrolling view of wrapped text without a cursor, built anew for each width."""

import difflib
from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.strip import Strip

from tui.format.text import EMPTY, Line, Span, clean, wrap
from tui.widgets.lines import LineView

Build = Callable[[int], list[Line]]


class TextView(LineView):
    """Shows what a builder gives for a number of cells."""

    HAS_CURSOR: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build: Build = lambda cells: []
        self._lines: list[Line] = []
        self._key: object = None
        self._made_for = 0
        self._left_at = 0

    def line_count(self) -> int:
        return len(self._lines)

    def line(self, index: int, cells: int) -> Line:
        return self._lines[index]

    def set(self, build: Build, key: object = None, *, tail: bool = False) -> None:
        """Show other content. Another `key` means another thing to read: it starts at its beginning.

        `tail` starts it at its end, and keeps that in sight until a person scrolls up.
        """
        top = self.scroll_offset.y
        untouched = top == self._left_at or top + self.rows >= len(self._lines)
        fresh = key != self._key
        self._key, self._build = key, build
        self._make()
        self.show()
        if tail and (fresh or untouched):
            self._leave_at(max(0, len(self._lines) - self.rows))
        elif fresh:
            self._leave_at(0)

    def _leave_at(self, top: int) -> None:
        self._left_at = top
        self.scroll_to(y=top, animate=False)

    def _make(self) -> None:
        self._made_for = self.cells
        self._lines = self._build(self._made_for)

    def render_line(self, y: int) -> Strip:
        if self._made_for != self.cells:  # it is painted in its new place before it is told of that
            self._make()
        return super().render_line(y)

    def on_resize(self, event: events.Resize) -> None:
        self._make()
        super().on_resize(event)


def heading(text: str) -> list[Line]:
    """A section's title with a blank line above."""
    return [EMPTY, (Span(" " + text, "accent bold"),)]


def paragraph(text: str, cells: int, style: str = "text", indent: int = 2) -> list[Line]:
    """Wrapped text, indented."""
    lead = (Span(" " * indent),)
    return [(*lead, *line) for line in wrap(text.strip("\n"), cells - indent - 1, style)]


def fact(label: str, value: str, style: str = "text", *, cells: int) -> list[Line]:
    """A labelled value; long ones go on below, aligned."""
    first = (Span(f"  {label:<11}", "dim"),)
    return list(wrap(value, cells - 1, style, first=first, indent=" " * 13))


def change_lines(old: str, new: str) -> list[Line]:
    """What differs between two texts, as a unified diff."""
    lines: list[Line] = []
    for line in difflib.unified_diff(clean(old).splitlines(), clean(new).splitlines(), lineterm="", n=2):
        if line.startswith(("+++", "---")):
            continue
        style = {"+": "added", "-": "removed", "@": "hunk"}.get(line[:1], "dim")
        lines.append((Span(" " + line, style),))
    return lines or [(Span("  Nothing differs.", "dim"),)]

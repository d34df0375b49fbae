"""A scrolling view of wrapped text without a cursor, and builders for its lines."""

import difflib
from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.strip import Strip

from tui.format.text import EMPTY, Line, Span, clean, wrap
from tui.widgets.lines import LineView

Build = Callable[[int], list[Line]]


class TextView(LineView):
    """Shows the lines that `build` makes for the view's width."""

    HAS_CURSOR: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._build: Build = lambda cells: []
        self._lines: list[Line] = []
        self._key: object = None
        self._built_for = 0
        self._scrolled_to = 0

    def line_count(self) -> int:
        return len(self._lines)

    def line(self, index: int, cells: int) -> Line:
        return self._lines[index]

    def set(self, build: Build, key: object = None, *, tail: bool = False) -> None:
        """Show other content. With another `key` it is another text and starts at the top.

        With `tail` it starts at the end and follows it until a person scrolls up.
        """
        top = self.scroll_offset.y
        untouched = top == self._scrolled_to or top + self.rows >= len(self._lines)
        fresh = key != self._key
        self._key, self._build = key, build
        self._rebuild()
        self.show()
        if tail and (fresh or untouched):
            self._jump_to(max(0, len(self._lines) - self.rows))
        elif fresh:
            self._jump_to(0)

    def _jump_to(self, top: int) -> None:
        self._scrolled_to = top
        self.scroll_to(y=top, animate=False)

    def _rebuild(self) -> None:
        self._built_for = self.cells
        self._lines = self._build(self._built_for)

    def render_line(self, y: int) -> Strip:
        if self._built_for != self.cells:  # it is painted at its new size before it gets the resize event
            self._rebuild()
        return super().render_line(y)

    def on_resize(self, event: events.Resize) -> None:
        self._rebuild()
        super().on_resize(event)


def heading(text: str) -> list[Line]:
    """A section's title, with a blank line above it."""
    return [EMPTY, (Span(" " + text, "accent bold"),)]


def paragraph(text: str, cells: int, style: str = "text", indent: int = 2) -> list[Line]:
    """Wrapped text, indented."""
    lead = (Span(" " * indent),)
    return [(*lead, *line) for line in wrap(text.strip("\n"), cells - indent - 1, style)]


def fact(label: str, value: str, style: str = "text", *, cells: int) -> list[Line]:
    """A labelled value. Long values continue below, aligned."""
    first = (Span(f"  {label:<11}", "dim"),)
    return list(wrap(value, cells - 1, style, first=first, indent=" " * 13))


def change_lines(old: str, new: str) -> list[Line]:
    """The differences between two texts as a unified diff."""
    lines: list[Line] = []
    for line in difflib.unified_diff(clean(old).splitlines(), clean(new).splitlines(), lineterm="", n=2):
        if line.startswith(("+++", "---")):
            continue
        style = {"+": "added", "-": "removed", "@": "hunk"}.get(line[:1], "dim")
        lines.append((Span(" " + line, style),))
    return lines or [(Span("  No differences.", "dim"),)]

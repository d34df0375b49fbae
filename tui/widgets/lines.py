"""Views that paint themselves line by line: they render only visible lines and repaint only what changed."""

import time
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from tui.format.text import EMPTY, Line, Span, clean, cut, differing, plain_text, width_of
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.style.theme import Palette
from tui.widgets.actionable import Actionable

HELD_S = 0.1
"""Seconds between two moves up to which a key counts as held."""


def strip_of(line: Line, palette: Palette, cells: int, base: str = "on:background") -> Strip:
    """A line as a strip for the terminal: cleaned, styled, exactly `cells` wide. `base` lies under every span."""
    cleaned = tuple(span._replace(text=clean(span.text).replace("\n", "␊")) for span in line)
    cleaned = cut(cleaned, cells)
    # Each segment sends a whole style to the terminal, so neighbours of one style are joined.
    segments = [
        Segment("".join(span.text for span in spans), palette.style(f"{base} {style}"))
        for style, spans in groupby(cleaned, key=_style_of)
    ]
    if (left := cells - width_of(cleaned)) > 0:
        segments.append(Segment(" " * left, palette.style(base)))
    return Strip([segment for segment in segments if segment.text], cells)


def _style_of(span: Span) -> str:
    return span.style


def thumb(top: int, rows: int, count: int) -> range:
    """The filled rows of a scrollbar, for `count` lines of which `rows` are visible from `top` on."""
    if count <= rows:
        return range(0)
    length = max(1, rows * rows // count)
    start = round(top / (count - rows) * (rows - length))
    return range(start, start + length)


class LineView(Actionable, ScrollView, can_focus=True):
    """A list of lines with a cursor. Subclasses supply the number of lines and each line.

    It paints its scrollbar itself, in the last column: Textual's own lays out the whole screen again whenever it
    appears or disappears, or the number of lines changes.
    """

    SCOPES: ClassVar[tuple[str, ...]] = ("list",)
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("list")]
    EMPTY_TEXT: ClassVar[str] = ""
    HAS_CURSOR: ClassVar[bool] = True
    FILE_NAME: ClassVar[str] = "text.md"
    """The name under which an editor opens the view's text."""

    cursor: reactive[int] = reactive(0, repaint=False)

    class Opened(Message):
        """A person pressed enter on a line."""

        def __init__(self, view: "LineView", index: int) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> "LineView":
            return self.view

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._painted: dict[int, Line] = {}
        self._thumb = range(0)
        self._moved = 0, 0.0
        """The last move and its time."""
        self._leap = 0
        """How many lines beyond the necessary ones a move scrolls."""

    # --- for subclasses ---------------------------------------------------------------------------------------

    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def line(self, index: int, cells: int) -> Line:
        """One line, for a width of `cells`."""
        raise NotImplementedError

    def empty_line(self, row: int) -> Line:
        """A row of the text that shows while there are no lines."""
        from_top = row - 1
        texts = self.EMPTY_TEXT.split("\n")
        if 0 <= from_top < len(texts):
            return (Span("  "), Span(texts[from_top], "dim"))
        return EMPTY

    def copied_text(self) -> str:
        """The text that copying takes: the line under the cursor, or all lines in a view without a cursor."""
        lines = range(self.line_count())
        if self.HAS_CURSOR:
            lines = lines[self.cursor : self.cursor + 1]
        return plain_text(self.line(index, self.cells) for index in lines)

    # --- painting ---------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        """Width of a line. It follows the size assigned last, which is known before the screen is laid out."""
        return max(0, self.outer_size.width - self.styles.gutter.width - 1)

    @property
    def rows(self) -> int:
        """How many lines are visible."""
        return max(1, self.outer_size.height - self.styles.gutter.height)

    def render_line(self, y: int) -> Strip:
        index = self.scroll_offset.y + y
        cells = self.cells
        count = self.line_count()
        if not count:
            return strip_of(self.empty_line(y), self.palette, cells + 1)
        if index >= count:
            return strip_of(EMPTY, self.palette, cells + 1)
        line = self.line(index, cells)
        self._painted[index] = line
        base = "on:background"
        if self.HAS_CURSOR and index == self.cursor:
            base = "on:cursor" if self.has_focus else "on:panel"
        strip = strip_of(line, self.palette, cells, base)
        if y in self._thumb:
            return Strip([*strip, Segment("▐", self.palette.style("on:background border"))], cells + 1)
        return strip.extend_cell_length(cells + 1, self.palette.style(base))

    def show(self, *, everything: bool = False) -> None:
        """Show the current lines: repaint what is visible and differs from what was painted last."""
        count = self.line_count()
        if count != (before := self.virtual_size.height):
            everything = everything or not count or not before
            self.set_reactive(Widget.virtual_size, Size(0, count))  # assigning it would lay out the whole screen
            self.scroll_y = self.validate_scroll_y(self.scroll_y)
        self.cursor = max(0, min(self.cursor, count - 1))
        self._move_thumb()
        if everything:
            self._painted.clear()
            self.refresh()
            return
        cells, top = self.cells, self.scroll_offset.y
        for row in range(self.rows):
            index = top + row
            if index >= count:
                if self._painted.pop(index, None) is not None:
                    self.refresh(Region(0, row, cells, 1))
            elif (painted := self._painted.get(index)) is None:
                self.refresh(Region(0, row, cells, 1))
            elif painted != (line := self.line(index, cells)):
                start, end = differing(painted, line)
                self.refresh(Region(start, row, end - start, 1))
        if len(self._painted) > 2000:
            self._painted.clear()
            self.refresh()

    def _move_thumb(self) -> None:
        """Repaint the rows of the scrollbar that changed."""
        moved = thumb(self.scroll_offset.y, self.rows, self.line_count())
        for row in set(moved) ^ set(self._thumb):
            self.refresh(Region(self.cells, row, 1, 1))
        self._thumb = moved

    @property
    def allow_vertical_scroll(self) -> bool:
        return self.line_count() > self.rows

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        self._move_thumb()
        super().watch_scroll_y(old_value, new_value)

    def on_resize(self, event: events.Resize) -> None:
        self.show(everything=True)
        self.call_after_refresh(self.reveal)

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)

    # --- the cursor -------------------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        self._refresh_row(old)
        self._refresh_row(new)
        self.reveal()

    def _refresh_row(self, index: int) -> None:
        row = index - self.scroll_offset.y
        if 0 <= row < self.size.height:
            self.refresh(Region(0, row, self.size.width, 1))

    def reveal(self) -> None:
        """Scroll so that the cursor is visible, even if Textual does not know yet that there is something to scroll."""
        if not self.HAS_CURSOR:
            return
        top, rows = self.scroll_offset.y, self.rows
        if self.cursor < top:
            self.scroll_to(y=self.cursor - self._leap, animate=False, force=True)
        elif self.cursor >= top + rows:
            self.scroll_to(y=self.cursor - rows + 1 + self._leap, animate=False, force=True)

    def move(self, by: int) -> None:
        """Move the cursor, or scroll a view without one.

        While a key is held, a cursor that leaves the view scrolls it by a page. Scrolling paints every line again, and
        nobody could read lines that scroll with each key.
        """
        if self.HAS_CURSOR:
            now = time.monotonic()
            held = self._moved[0] == by and now - self._moved[1] < HELD_S
            self._moved = by, now
            self._leap = max(0, self.rows - 2) if held else 0
            self.cursor = max(0, min(self.line_count() - 1, self.cursor + by))
            self._leap = 0
        else:
            self.scroll_to(y=self.scroll_offset.y + by, animate=False)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.get_content_offset_capture(self).x >= self.cells and self.allow_vertical_scroll:
            self.capture_mouse()
            self._drag_to(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self._drag_to(event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()

    def _drag_to(self, event: events.MouseEvent) -> None:
        """Scroll to the position at which the scrollbar was dragged."""
        share = event.get_content_offset_capture(self).y / max(1, self.rows - 1)
        self.scroll_to(y=round(share * (self.line_count() - self.rows)), animate=False)

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset_capture(self)
        index = self.scroll_offset.y + at.y
        if at.x >= self.cells:
            return
        if self.HAS_CURSOR and 0 <= index < self.line_count():
            again = index == self.cursor
            self.cursor = index
            if again and event.chain > 1:
                self.open_line()

    # --- actions ----------------------------------------------------------------------------------------------

    @handles("list.down")
    def move_down(self) -> None:
        self.move(1)

    @handles("list.up")
    def move_up(self) -> None:
        self.move(-1)

    @handles("list.top")
    def move_to_top(self) -> None:
        self.move(-self.line_count())

    @handles("list.bottom")
    def move_to_bottom(self) -> None:
        self.move(self.line_count())

    @handles("list.half_down")
    def half_page_down(self) -> None:
        self.move(self.rows // 2)

    @handles("list.half_up")
    def half_page_up(self) -> None:
        self.move(-(self.rows // 2))

    @handles("list.left")
    def go_left(self) -> None:
        """Nothing in a plain list; trees fold here."""

    @handles("list.right")
    def go_right(self) -> None:
        """Nothing in a plain list; trees unfold here."""

    @handles("list.enter")
    def open_line(self) -> None:
        if self.line_count():
            self.post_message(self.Opened(self, self.cursor))

    @handles("list.next_match")
    def next_match(self) -> None:
        self.move(1)

    @handles("list.previous_match")
    def previous_match(self) -> None:
        self.move(-1)

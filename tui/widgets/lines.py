"""Views painted line by line: only what is visible is ever rendered, and only what changed is painted again."""

from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.widget import Widget

from tui.keymap import DEFAULT
from tui.text import EMPTY, Line, Span, clean, cut, differing, width_of
from tui.theme import Palette
from tui.widgets.acting import Acting


def strip_of(line: Line, palette: Palette, cells: int, base: str = "on:background") -> Strip:
    """A line as the terminal gets it: cleaned, styled, exactly `cells` wide. `base` lies under every span."""
    cleaned = tuple(span._replace(text=clean(span.text).replace("\n", "␊")) for span in line)
    cleaned = cut(cleaned, cells)
    # Each segment costs the terminal a whole style, so neighbours of one style are one.
    segments = [
        Segment("".join(span.text for span in spans), palette.style(f"{base} {style}"))
        for style, spans in groupby(cleaned, key=_style_of)
    ]
    if (left := cells - width_of(cleaned)) > 0:
        segments.append(Segment(" " * left, palette.style(base)))
    return Strip([segment for segment in segments if segment.text], cells)


def _style_of(span: Span) -> str:
    return span.style


class Bar(ScrollBar):
    """A scrollbar that is painted only when it looks different: lists grow all the time."""

    _look: tuple[object, ...] = ()

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> "Bar":
        rows, length, window = self.size.height, self.window_virtual_size, self.window_size
        thumb = max(8, rows * 8 * window // max(1, length))
        place = int(self.position / max(1, length - window) * (rows * 8 - thumb))
        look = (rows, thumb, place, self.mouse_over, self.grabbed, self.app.theme)
        if look != self._look or layout or recompose:
            self._look = look
            super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self


class LineView(Acting, ScrollView, can_focus=True):
    """A list of lines with a cursor. Subclasses say how many lines there are and what each looks like."""

    SCOPES: ClassVar[tuple[str, ...]] = ("list",)
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("list")]
    EMPTY_TEXT: ClassVar[str] = ""
    HAS_CURSOR: ClassVar[bool] = True

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

    class Moved(Message):
        """The cursor came to another line."""

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

    # --- for subclasses --------------------------------------------------------------------------------------

    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def line(self, index: int, cells: int) -> Line:
        """One line for a view of so many cells."""
        raise NotImplementedError

    def empty_line(self, row: int) -> Line:
        """What stands there while there are no lines."""
        from_top = row - 1
        texts = self.EMPTY_TEXT.split("\n")
        if 0 <= from_top < len(texts):
            return (Span("  "), Span(texts[from_top], "dim"))
        return EMPTY

    def taken(self) -> str:
        """What a person takes along from here as text: the line under the cursor, or all lines where there is none."""
        lines = range(self.line_count())
        if self.HAS_CURSOR:
            lines = lines[self.cursor : self.cursor + 1]
        told = ("".join(span.text for span in self.line(index, self.cells)).rstrip() for index in lines)
        return "\n".join(told)

    # --- painting --------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        """Cells in a line: of the size that was given last, which a screen that is not laid out yet knows too."""
        bar = self.styles.scrollbar_size_vertical if self.show_vertical_scrollbar else 0
        return max(0, self.outer_size.width - self.styles.gutter.width - bar)

    @property
    def rows(self) -> int:
        """Visible lines."""
        return max(1, self.outer_size.height - self.styles.gutter.height)

    def render_line(self, y: int) -> Strip:
        index = self.scroll_offset.y + y
        cells = self.cells
        count = self.line_count()
        if not count:
            return strip_of(self.empty_line(y), self.palette, cells)
        if index >= count:
            return strip_of(EMPTY, self.palette, cells)
        line = self.line(index, cells)
        self._painted[index] = line
        base = "on:background"
        if self.HAS_CURSOR and index == self.cursor:
            base = "on:cursor" if self.has_focus else "on:panel"
        return strip_of(line, self.palette, cells, base)

    def show(self, *, everything: bool = False) -> None:
        """Take the present lines over: repaint what is visible and differs from what was painted last."""
        count = self.line_count()
        if count != (before := self.virtual_size.height):
            everything = everything or not count or not before
            self._resize_to(count)
        self.cursor = max(0, min(self.cursor, count - 1))
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
                start, end = differing(painted, line) if width_of(painted) == width_of(line) else (0, cells)
                self.refresh(Region(start, row, end - start, 1))
        if len(self._painted) > 2000:
            self._painted.clear()
            self.refresh()

    def _resize_to(self, count: int) -> None:
        """Another number of lines. Only a scrollbar that comes or goes lays the screen out again."""
        size, fits = Size(0, count), count <= self.container_size.height
        if fits == self.show_vertical_scrollbar:
            self.virtual_size = size
        else:
            self.set_reactive(Widget.virtual_size, size)
            self._scroll_update(size)

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        if self._vertical_scrollbar is None:
            bar = Bar(vertical=True, name="vertical", thickness=self.scrollbar_size_vertical)
            self._vertical_scrollbar = bar
            bar.display = False
            self.app._start_widget(self, bar)
        return self._vertical_scrollbar

    def on_resize(self, event: events.Resize) -> None:
        self.show(everything=True)
        self.call_after_refresh(self.reveal)

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)

    # --- the cursor ------------------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        self._refresh_row(old)
        self._refresh_row(new)
        self.reveal()
        self.post_message(self.Moved(self, new))

    def _refresh_row(self, index: int) -> None:
        row = index - self.scroll_offset.y
        if 0 <= row < self.size.height:
            self.refresh(Region(0, row, self.size.width, 1))

    def reveal(self) -> None:
        """Scroll so that the cursor is visible, also before the scrollbar is laid out that the lines call for."""
        if not self.HAS_CURSOR:
            return
        top, rows = self.scroll_offset.y, self.rows
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + rows:
            self.scroll_to(y=self.cursor - rows + 1, animate=False, force=True)

    def move(self, by: int) -> None:
        """Move the cursor, or scroll a view that has none."""
        if self.HAS_CURSOR:
            self.cursor = max(0, min(self.line_count() - 1, self.cursor + by))
        else:
            self.scroll_to(y=self.scroll_offset.y + by, animate=False)

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.get_content_offset_capture(self).y
        if self.HAS_CURSOR and 0 <= index < self.line_count():
            again = index == self.cursor
            self.cursor = index
            if again and event.chain > 1:
                self.do_enter()

    # --- actions ---------------------------------------------------------------------------------------------

    def do_down(self) -> None:
        self.move(1)

    def do_up(self) -> None:
        self.move(-1)

    def do_top(self) -> None:
        self.move(-self.line_count())

    def do_bottom(self) -> None:
        self.move(self.line_count())

    def do_half_down(self) -> None:
        self.move(self.rows // 2)

    def do_half_up(self) -> None:
        self.move(-(self.rows // 2))

    def do_left(self) -> None:
        """Lists have nothing to the left."""

    def do_right(self) -> None:
        """Lists have nothing to the right."""

    def do_enter(self) -> None:
        if self.line_count():
            self.post_message(self.Opened(self, self.cursor))

    def do_next_match(self) -> None:
        self.move(1)

    def do_previous_match(self) -> None:
        self.move(-1)

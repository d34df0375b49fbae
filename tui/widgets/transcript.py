"""An agent's messages and its log, oldest first. Older items are loaded page by page."""

from collections.abc import Hashable, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.binding import BindingType
from textual.message import Message

from tui.bridge import MessageRow
from tui.format.event_line import EventLine
from tui.format.message_lines import folds, message_lines
from tui.format.numbers import clock
from tui.format.state_styles import TONE
from tui.format.text import Line, Span, plain_text, wrap
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.widgets.lines import LineView

T = TypeVar("T")
NO_ITEM = -1
"""The key of the line that says that there are older items."""


class Transcript(LineView, Generic[T]):
    """Items of one or more lines. It follows its end until a person goes up, and requests older items at the top.

    The agents pane's keys work here too, on the agent that it is about.
    """

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]

    class Older(Message):
        """A person went to the top, and the journal has older items."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.items: list[T] = []
        self.more = False
        self.note = ""
        self._lines: list[Line] = []
        self._key_of: list[int] = []
        self._cached: dict[Hashable, list[Line]] = {}
        self._sought: int | None = None

    # --- for subclasses ---------------------------------------------------------------------------------------

    def key(self, item: T) -> int:
        """The item's key; newer items have greater keys."""
        raise NotImplementedError

    def version(self, item: T) -> Hashable:
        """What the item's lines depend on besides its key."""
        return ()

    def item_lines(self, item: T, cells: int) -> list[Line]:
        """The item as lines."""
        raise NotImplementedError

    # --- what is shown ----------------------------------------------------------------------------------------

    def clear(self, note: str) -> None:
        """Remove all items and show a note instead."""
        self.note = note
        self.items, self.more = [], False
        self._cached.clear()
        self._lay_out()

    def put(self, page: Sequence[T], *, more: bool | None = None) -> None:
        """Add items, or replace known ones. `more` says whether there are older ones than these."""
        known = {self.key(item): item for item in self.items}
        if known and page and more and self.key(page[0]) > max(known):
            known = {}  # items between are missing: start over
        known |= {self.key(item): item for item in page}
        if more is not None and (not self.items or not page or self.key(page[0]) <= min(known)):
            self.more = more
        self.items = [known[key] for key in sorted(known)]
        self._lay_out()
        self._find()
        if more is not None:  # a page from the journal: an item that is not on it is too old to be found
            self._sought = None

    def seek(self, key: int) -> None:
        """Put the cursor on an item as soon as it is loaded."""
        self._sought = key
        self._find()

    def _find(self) -> None:
        if self._sought in self._key_of:
            self.cursor = self._line_of(self._sought, 0)
            self._sought = None

    def _lay_out(self) -> None:
        """Build the lines again. The cursor stays on its item's line, or at the end."""
        at_end = self.cursor >= len(self._lines) - 1
        key, offset = self._here()
        from_top = self.cursor - self.scroll_offset.y
        cells = self.cells
        self._lines, self._key_of = [], []
        if self.more:
            self._lines, self._key_of = [(Span("  ↑ older items: scroll up to load them", "dim italic"),)], [NO_ITEM]
        for item in self.items:
            cache_key = (self.key(item), cells, self.version(item))
            if cache_key not in self._cached:
                self._cached[cache_key] = self.item_lines(item, cells)
            lines = self._cached[cache_key]
            self._lines += lines
            self._key_of += [self.key(item)] * len(lines)
        self.show(everything=True)
        self.cursor = max(0, len(self._lines) - 1) if at_end else self._line_of(key, offset)
        if not at_end:  # keep the same lines in view
            self.scroll_to(y=max(0, self.cursor - from_top), animate=False)
        self.reveal()

    def _here(self) -> tuple[int, int]:
        """The key of the item under the cursor, or else of the first item; and the cursor's line in that item."""
        key = self._key_of[self.cursor] if 0 <= self.cursor < len(self._key_of) else NO_ITEM
        if key == NO_ITEM:
            return next((key for key in self._key_of if key != NO_ITEM), NO_ITEM), 0
        return key, self.cursor - self._key_of.index(key)

    def _line_of(self, key: int, offset: int) -> int:
        if key not in self._key_of:
            return 0
        return self._key_of.index(key) + min(offset, self._key_of.count(key) - 1)

    @property
    def current(self) -> T | None:
        """The item under the cursor."""
        key = self._key_of[self.cursor] if 0 <= self.cursor < len(self._key_of) else NO_ITEM
        return next((item for item in self.items if self.key(item) == key), None)

    def line_count(self) -> int:
        return len(self._lines)

    def line(self, index: int, cells: int) -> Line:
        return self._lines[index]

    def empty_line(self, row: int) -> Line:
        return (Span("  " + self.note, "dim"),) if row == 1 else ()

    def copied_text(self) -> str:
        """All loaded items."""
        return plain_text(self._lines)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._lay_out()

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        if new == 0 and new < old and self.more:
            self.post_message(self.Older())

    # --- actions ----------------------------------------------------------------------------------------------

    def _to_item(self, step: int) -> None:
        keys = [self.key(item) for item in self.items]
        here = self._here()[0]
        if here in keys:
            self.cursor = self._line_of(keys[max(0, min(len(keys) - 1, keys.index(here) + step))], 0)

    def next_match(self) -> None:
        self._to_item(1)

    def previous_match(self) -> None:
        self._to_item(-1)


class MessagesView(Transcript[MessageRow]):
    """Every message to and from an agent. Tool results and long texts are folded until a person unfolds them."""

    class WholeWanted(Message):
        """A person unfolds a text of which only the beginning is loaded."""

        def __init__(self, row: MessageRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._unfolded: set[int] = set()

    def key(self, item: MessageRow) -> int:
        return item.id

    def version(self, item: MessageRow) -> Hashable:
        return item.id in self._unfolded, item.whole

    def item_lines(self, item: MessageRow, cells: int) -> list[Line]:
        return message_lines(item, cells, unfolded=item.id in self._unfolded)

    def _fold(self, fold: bool) -> None:
        row = self.current
        if row is None or not folds(row) or (row.id not in self._unfolded) == fold:
            return
        self._unfolded ^= {row.id}
        if not fold and not row.whole:
            self.post_message(self.WholeWanted(row))
        self._lay_out()

    def open_line(self) -> None:
        if (row := self.current) is not None:
            self._fold(row.id in self._unfolded)

    def go_left(self) -> None:
        self._fold(True)

    def go_right(self) -> None:
        self._fold(False)

    @handles("agents.fold_all")
    def fold_all(self) -> None:
        self._unfolded.clear()
        self._lay_out()

    @handles("agents.unfold_all")
    def unfold_all(self) -> None:
        """Unfold all loaded items. Texts that are cut are loaded only when they are unfolded one by one."""
        self._unfolded |= {row.id for row in self.items}
        self._lay_out()


class LogView(Transcript[EventLine]):
    """The agent's own events."""

    def key(self, item: EventLine) -> int:
        return item.seq

    def item_lines(self, item: EventLine, cells: int) -> list[Line]:
        look = TONE[item.tone]
        style = "dim" if item.tone == "quiet" else look.style
        lead = (Span(f" {clock(item.at)} ", "dim"), Span(look.glyph + " ", look.style))
        return list(wrap(item.text, cells - 1, style, first=lead, indent=" " * 12))

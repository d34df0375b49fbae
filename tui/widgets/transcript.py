"""What happened to an agent, oldest first: its conversation and its log, paged backwards, in items that fold."""

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
from tui.format.text import Line, Span, wrap
from tui.input.handlers import handles
from tui.input.keymap import DEFAULT
from tui.widgets.lines import LineView

T = TypeVar("T")
MARK = -1
"""Stands for a key on the line that says that there are older items."""


class Transcript(LineView, Generic[T]):
    """Items of one or more lines. The end stays in sight until a person goes up; at the top, older ones are asked for.

    The agents' keys work here too, on the agent that it is about.
    """

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]

    class Older(Message):
        """A person went to the top, and the record has more."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.items: list[T] = []
        self.more = False
        self.note = ""
        self._told: list[Line] = []
        self._key_of: list[int] = []
        self._made: dict[Hashable, list[Line]] = {}
        self._sought: int | None = None

    # --- for subclasses --------------------------------------------------------------------------------------

    def key(self, item: T) -> int:
        """What an item is known by; it grows with time."""
        raise NotImplementedError

    def version(self, item: T) -> Hashable:
        """What its lines depend on besides the item."""
        return ()

    def item_lines(self, item: T, cells: int) -> list[Line]:
        raise NotImplementedError

    # --- what is shown ---------------------------------------------------------------------------------------

    def clear(self, note: str) -> None:
        """Show nothing but a note."""
        self.note = note
        self.items, self.more = [], False
        self._made.clear()
        self._lay_out()

    def put(self, page: Sequence[T], *, more: bool | None = None) -> None:
        """Take in items, new, older, or known and changed. `more`: whether there are older ones than these."""
        known = {self.key(item): item for item in self.items}
        if known and page and more and self.key(page[0]) > max(known):
            known = {}  # so much happened that there is a hole between: begin anew
        known |= {self.key(item): item for item in page}
        if more is not None and (not self.items or not page or self.key(page[0]) <= min(known)):
            self.more = more
        self.items = [known[key] for key in sorted(known)]
        self._lay_out()
        self._find()
        if more is not None:  # a page from the record: what is not on it is further back than anyone asked for
            self._sought = None

    def seek(self, key: int) -> None:
        """Put the cursor on an item as soon as it is there."""
        self._sought = key
        self._find()

    def _find(self) -> None:
        if self._sought in self._key_of:
            self.cursor = self._line_of(self._sought, 0)
            self._sought = None

    def _lay_out(self) -> None:
        """Make the lines anew; the cursor stays on its line of its item, or at the end."""
        at_end = self.cursor >= len(self._told) - 1
        key, offset = self._here()
        from_top = self.cursor - self.scroll_offset.y
        cells = self.cells
        self._told, self._key_of = [], []
        if self.more:
            self._told, self._key_of = [(Span("  ↑ earlier ones: go on upwards", "dim italic"),)], [MARK]
        for item in self.items:
            made = (self.key(item), cells, self.version(item))
            if made not in self._made:
                self._made[made] = self.item_lines(item, cells)
            lines = self._made[made]
            self._told += lines
            self._key_of += [self.key(item)] * len(lines)
        with self.prevent(self.Moved):
            self.show(everything=True)
            self.cursor = max(0, len(self._told) - 1) if at_end else self._line_of(key, offset)
            if not at_end:  # what is read stays where it is on the screen
                self.scroll_to(y=max(0, self.cursor - from_top), animate=False)
            self.reveal()

    def _here(self) -> tuple[int, int]:
        """The key of the item under the cursor, or of the first where there is none, and the line in it."""
        key = self._key_of[self.cursor] if 0 <= self.cursor < len(self._key_of) else MARK
        if key == MARK:
            return next((key for key in self._key_of if key != MARK), MARK), 0
        return key, self.cursor - self._key_of.index(key)

    def _line_of(self, key: int, offset: int) -> int:
        if key not in self._key_of:
            return 0
        return self._key_of.index(key) + min(offset, self._key_of.count(key) - 1)

    @property
    def current(self) -> T | None:
        """The item under the cursor."""
        key = self._key_of[self.cursor] if 0 <= self.cursor < len(self._key_of) else MARK
        return next((item for item in self.items if self.key(item) == key), None)

    def line_count(self) -> int:
        return len(self._told)

    def line(self, index: int, cells: int) -> Line:
        return self._told[index]

    def empty_line(self, row: int) -> Line:
        return (Span("  " + self.note, "dim"),) if row == 1 else ()

    def copied_text(self) -> str:
        """All that is loaded."""
        return "\n".join("".join(span.text for span in line).rstrip() for line in self._told)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._lay_out()

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        if new == 0 and new < old and self.more:
            self.post_message(self.Older())

    # --- actions ---------------------------------------------------------------------------------------------

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
    """All that an agent was told and said. Answers of tools and long texts are folded until they are asked for."""

    class WholeWanted(Message):
        """A person unfolds a text of which only the beginning is here."""

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
        """Unfold what is loaded; texts that are cut stay cut until they are opened one by one."""
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

"""The events pane: a bounded tail of what happened, which follows until a person scrolls up."""

from typing import ClassVar

from textual.binding import BindingType

from tui.bridge import EventLine
from tui.figures import clock
from tui.keymap import DEFAULT
from tui.states import TONE
from tui.text import Line, Span, fit, one_line
from tui.widgets.lines import LineView

KEPT = 5000
_TRIM = 500


class EventList(LineView):
    """The list. The newest event is at the bottom."""

    SCOPES: ClassVar[tuple[str, ...]] = ("events", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("events")]
    EMPTY_TEXT: ClassVar[str] = "Nothing has happened yet."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._all: list[EventLine] = []
        self._shown: list[EventLine] = []
        self._seen = 0
        self._rewinds = 0
        self.follow = True
        self.filter_text = ""
        self.filter_error = ""

    def line_count(self) -> int:
        return len(self._shown)

    def empty_line(self, row: int) -> Line:
        if self.filter_text and row == 1:
            return (Span("  No event matches. esc clears the filter.", "dim"),)
        return super().empty_line(row)

    @property
    def matches(self) -> int:
        return len(self._shown)

    @property
    def current(self) -> EventLine | None:
        return self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else None

    def update(self) -> None:
        """Take over what happened since the last time."""
        session = self.host.session
        if session.rewinds != self._rewinds:
            self._rewinds = session.rewinds
            self._all, self._shown, self._seen = [], [], 0
        new = session.events_after(self._seen)
        if not new:
            return
        self._seen = new[-1].seq
        self._all.extend(new)
        self._shown.extend(event for event in new if self._matches(event))
        dropped = 0
        if len(self._all) > KEPT + _TRIM:
            del self._all[:-KEPT]
            oldest = self._all[0].seq
            dropped = next((i for i, event in enumerate(self._shown) if event.seq >= oldest), len(self._shown))
            del self._shown[:dropped]
        if self.follow:
            self._to_end()
        else:
            with self.prevent(self.Moved):
                top = self.scroll_offset.y
                self.cursor = max(0, self.cursor - dropped)
                self.show(everything=bool(dropped))
                if dropped:
                    self.scroll_to(y=max(0, top - dropped), animate=False)

    def _to_end(self) -> None:
        with self.prevent(self.Moved):
            self.show(everything=True)
            self.cursor = max(0, len(self._shown) - 1)
            self.reveal()

    def _matches(self, event: EventLine) -> bool:
        text = f"{event.kind} {event.text} {self.view.path_of(event.agent)}".casefold()
        return all(
            (word.removeprefix("!").casefold() in text) != word.startswith("!") for word in self.filter_text.split()
        )

    def set_filter(self, text: str) -> None:
        """Words that an event's kind, text or agent must hold, or with `!` must not."""
        self.filter_text = text.strip()
        self._shown = [event for event in self._all if self._matches(event)]
        self._to_end()
        self.follow = True

    def line(self, index: int, cells: int) -> Line:
        event = self._shown[index]
        look = TONE[event.tone]
        path = self.view.path_of(event.agent)
        path_cells = min(26, max(10, cells // 4))
        if len(path) > path_cells:
            path = "…" + path[-(path_cells - 1) :]
        return (
            Span(clock(event.at) + " ", "dim"),
            Span(look.glyph + " ", look.style),
            Span(fit(one_line(path), path_cells) + " ", "dim"),
            Span(
                event.text,
                look.style if event.tone not in ("quiet", "plain") else "dim" if event.tone == "quiet" else "text",
            ),
        )

    # --- actions ---------------------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        self.follow = new >= len(self._shown) - 1
        super().watch_cursor(old, new)

    def do_follow(self) -> None:
        self.follow = True
        self._to_end()

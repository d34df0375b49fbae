"""The events pane: the newest events, following new ones until a person scrolls up. Older ones are read on demand."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from concurrent.futures import Future
from typing import ClassVar

from textual import events
from textual.binding import BindingType

from tui.format.event_line import EventLine, Tone
from tui.format.filters import Filter, event_filter
from tui.format.numbers import clock
from tui.format.state_styles import TONE
from tui.format.text import Line, Span, fit, fit_end, one_line
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.sessions.session import Earlier
from tui.widgets.filtered_list import FilteredList

KEPT = 5000
KEPT_ROUTINE = 2000
"""Events kept in memory, routine ones counted apart."""
_TRIM = 500
KEPT_WHILE_READING = 4 * KEPT
"""Events kept in memory while a person reads older ones."""
PAGE = 200
"""Older events requested at a time."""


class EventList(FilteredList[EventLine]):
    """The list of events, the newest at the bottom."""

    SCOPES: ClassVar[tuple[str, ...]] = ("events", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("events")]
    NOUN: ClassVar[str] = "event"
    FILTER_HINT: ClassVar[str] = "text  !not  tone:bad  kind:task_ended  role:planner  under:root/parser"
    EMPTY_TEXT: ClassVar[str] = "No events yet."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._all: list[EventLine] = []
        self._routine: list[EventLine] = []
        self._shown: list[EventLine] = []
        self._seen = 0
        self._rewinds = 0
        self._followed_to = 0
        self._longest = 0
        self.follow = True
        self.everything = False
        self._forget_older()

    def line_count(self) -> int:
        return len(self._shown)

    def empty_line(self, row: int) -> Line:
        if self._filter is not None and self._more and row == 2:
            return (Span("  Press k to search older events.", "dim"),)
        return super().empty_line(row)

    @property
    def total(self) -> int:
        """How many events are in memory."""
        return len(self._older) + len(self._all) + (len(self._routine) if self._shows_routine else 0)

    @property
    def behind(self) -> int:
        """How many events came since the list stopped following."""
        return 0 if self.follow else len(self._shown) - bisect_right(self._shown, self._followed_to, key=_seq)

    @property
    def current(self) -> EventLine | None:
        """The event under the cursor."""
        return self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else None

    @property
    def _shows_routine(self) -> bool:
        """Whether routine events show: a person asked for all events, or filters by kind or for routine ones."""
        return self.everything or "kind:" in self.filter_text or "tone:routine" in self.filter_text

    def update(self) -> None:
        """Show the session's new events."""
        session = self.host.session
        if session.rewinds != self._rewinds:
            self._rewinds = session.rewinds
            self._all, self._routine, self._shown, self._seen = [], [], [], 0
            self._forget_older()
        new = session.events_after(self._seen)
        if not new:
            return
        self._seen = new[-1].seq
        routine = [event for event in new if event.tone is Tone.ROUTINE]
        self._routine.extend(routine)
        self._all.extend(event for event in new if event.tone is not Tone.ROUTINE)
        shown = new if self._shows_routine else [event for event in new if event.tone is not Tone.ROUTINE]
        before = len(self._shown)
        self._longest = max(self._longest, self._longest_path(shown))
        self._shown.extend(shown if self._filter is None else filter(self._filter.matches, shown))
        # The older events end where memory begins, so memory is not trimmed while they show.
        done = bool(self._older) and (self.follow or len(self._all) > KEPT_WHILE_READING)
        if done:
            self._forget_older()
        if done or (not self._older and _trim(self._all, KEPT) | _trim(self._routine, KEPT_ROUTINE)):
            self._refilter()
        elif self.follow and len(self._shown) > before:
            self._to_end()
        else:
            self.show()

    def _refilter(self) -> None:
        """Filter all events again. The cursor stays on its event, or goes to the next one that shows."""
        at, top = self.current, self.cursor - self.scroll_offset.y
        kept = heapq.merge(self._all, self._routine, key=_seq) if self._shows_routine else iter(self._all)
        last = self._older[-1].seq if self._older else 0
        new = (event for event in kept if event.seq > last and (self._filter is None or self._filter.matches(event)))
        self._shown = [*self._older, *new]
        self._longest = self._longest_path(self._shown)
        if self.follow or at is None:
            self._to_end()
            return
        self.show(everything=True)
        self.cursor = min(bisect_left(self._shown, at.seq, key=_seq), max(0, len(self._shown) - 1))
        self.scroll_to(y=max(0, self.cursor - top), animate=False)

    def _longest_path(self, shown: Sequence[EventLine]) -> int:
        return max((len(self.view.path_of(agent)) for agent in {event.agent for event in shown}), default=0)

    def _to_end(self) -> None:
        self.show()
        self.cursor = max(0, len(self._shown) - 1)
        self.reveal()

    def _parse_filter(self, text: str) -> Filter[EventLine]:
        return event_filter(text, self.view.find)

    def _show_matches(self) -> None:
        self.follow = True
        self._forget_older()
        self._refilter()

    # --- older events -----------------------------------------------------------------------------------------

    def _forget_older(self) -> None:
        """Show only the events in memory, until a person asks for older ones."""
        self._older: list[EventLine] = []
        self._searched = 0
        self._more = True
        self._request: object = None

    @property
    def _first_in_memory(self) -> int:
        """The sequence number from which memory is complete."""
        kinds = (self._all, self._routine) if self._shows_routine else (self._all,)
        return max((lines[0].seq for lines in kinds if lines), default=self._seen + 1)

    def _request_older(self) -> None:
        """Request older events from the journal."""
        if self._request is not None or not self._more:
            return
        chosen, routine = self._filter, self._shows_routine

        def wanted(event: EventLine) -> bool:
            return (routine or event.tone is not Tone.ROUTINE) and (chosen is None or chosen.matches(event))

        request = self._request = object()
        earlier = self.host.session.earlier(self._searched or self._first_in_memory, wanted, PAGE)
        self.host.when_done(earlier, lambda done: self._show_older(request, done))

    def _show_older(self, request: object, done: "Future[Earlier]") -> None:
        if request is not self._request or done.cancelled():
            return
        self._request = None
        if (problem := done.exception()) is not None:
            self.host.show_note(str(problem), error=True)
            return
        earlier = done.result()
        self._older = [*earlier.lines, *self._older]
        self._searched, self._more = earlier.searched, earlier.more
        self._set_follow(follow=False)
        self._refilter()

    def move(self, by: int) -> None:
        if by < 0 and self.cursor == 0:
            self._request_older()
        super().move(by)

    def line(self, index: int, cells: int) -> Line:
        event = self._shown[index]
        look = TONE[event.tone]
        path = one_line(self.view.path_of(event.agent))
        path_cells = min(26, max(10, cells // 4), self._longest)
        return (
            Span(clock(event.at) + " ", "dim"),
            Span(look.glyph + " ", look.style),
            Span(fit(fit_end(path, path_cells), path_cells) + " " if path else "", "dim"),
            Span(event.text, "text" if event.tone is Tone.PLAIN else look.style),
        )

    # --- actions ----------------------------------------------------------------------------------------------

    def _set_follow(self, follow: bool) -> None:
        if self.follow and not follow:
            self._followed_to = self._seen
        self.follow = follow

    def watch_cursor(self, old: int, new: int) -> None:
        self._set_follow(new >= len(self._shown) - 1)
        super().watch_cursor(old, new)
        if new == 0 and new < old:
            self._request_older()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Stop following, so that new events do not scroll the list."""
        self._set_follow(follow=False)
        if self.scroll_offset.y == 0:
            self._request_older()

    @handles("events.follow")
    def follow_newest(self) -> None:
        self.follow = True
        self._to_end()

    @handles("events.everything")
    def toggle_all_kinds(self) -> None:
        """Show or hide routine events."""
        self.everything = not self.everything
        self._forget_older()
        self._refilter()
        self.host.show_note("all events" if self.everything else "routine events hidden")


def _trim(lines: list[EventLine], most: int) -> bool:
    """Drop the oldest lines once there are clearly too many. Returns whether it did."""
    if len(lines) <= most + _TRIM:
        return False
    del lines[:-most]
    return True


def _seq(event: EventLine) -> int:
    return event.seq

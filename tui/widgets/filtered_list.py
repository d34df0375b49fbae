"""A list that a person can filter; the base of the agents, handoffs and events panes."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import ClassVar, Generic, TypeVar

from tui.bridge import Recalled
from tui.format.filters import Filter, FilterError
from tui.format.text import EMPTY, Line, Span
from tui.widgets.lines import LineView

T = TypeVar("T")


class FilteredList(LineView, Generic[T]):
    """Subclasses parse the filter and show what it matches. `NOUN` names a row, such as `agent`."""

    NOUN: ClassVar[str] = ""
    FILTER_HINT: ClassVar[str] = ""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.filter_text = ""
        self.filter_error = ""
        self._filter: Filter[T] | None = None

    # --- for subclasses ---------------------------------------------------------------------------------------

    @property
    def matches(self) -> int:
        """How many rows match the filter."""
        return self.line_count()

    @property
    def total(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def _parse_filter(self, text: str) -> Filter[T]:
        """Raises FilterError."""
        raise NotImplementedError

    def _show_matches(self) -> None:
        """Show what matches a new filter."""
        raise NotImplementedError

    def _recall(self, reading: "Future[Recalled]", then: Callable[[Recalled], None]) -> None:
        """Once it has been read back from the journal, show it, too, and call `then` with it."""

        def recalled(done: "Future[Recalled]") -> None:
            if done.cancelled() or not self.is_mounted:
                return
            if (problem := done.exception()) is not None:
                self.host.show_note(str(problem))
                return
            self.view.recall(found := done.result())
            then(found)

        self.host.when_done(reading, recalled)

    # --- the filter -------------------------------------------------------------------------------------------

    def set_filter(self, text: str) -> None:
        """Filter the list. If the filter is invalid, the last valid one stays and `filter_error` says why."""
        if self.view.run is None:
            return
        try:
            parsed = self._parse_filter(text)
        except FilterError as error:
            self.filter_error = str(error)
            return
        self.filter_error, self.filter_text = "", parsed.source
        self._filter = parsed or None
        self._show_matches()

    def empty_line(self, row: int) -> Line:
        if self._filter is None:
            return super().empty_line(row)
        return (Span(f"  No {self.NOUN} matches. Press esc to clear the filter.", "dim"),) if row == 1 else EMPTY

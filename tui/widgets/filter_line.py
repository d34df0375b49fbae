"""The input line for a filter. It filters its list as a person types, and shows the number of matches or the error."""

from typing import Any

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from tui.widgets.filtered_list import FilteredList

LONGEST = 500
"""Characters of the longest filter: on each key, every word is searched in every row."""


class FilterLine(Input):
    """Hidden until it is opened for a list. Enter keeps the filter, escape clears it."""

    class Filtered(Message):
        """The list was filtered again. `closed` if the input line is gone."""

        def __init__(self, closed: bool) -> None:
            super().__init__()
            self.closed = closed

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, compact=True, max_length=LONGEST)
        self._target: FilteredList[Any] | None = None

    def on_mount(self) -> None:
        self.display = False

    def open(self, target: FilteredList[Any], label: str) -> None:
        """Open the line for a list."""
        self._target = target
        self.placeholder = target.FILTER_HINT
        self.value = target.filter_text
        self.border_title = Content(f"filter {label}")
        self.display = True
        self.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        target = self._target
        if target is None or not self.display:
            return
        target.set_filter(event.value)
        self.border_subtitle = Content(target.filter_error or f"{target.matches} of {target.total} shown")
        self.set_class(bool(target.filter_error), "bad")
        self.post_message(self.Filtered(closed=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            if self._target is not None:
                self._target.set_filter("")
            self._close()

    def _close(self) -> None:
        target, self._target = self._target, None
        self.display = False
        if target is not None:
            target.filter_error = ""
            target.focus()
        self.post_message(self.Filtered(closed=True))

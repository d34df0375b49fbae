"""Dialogs over the other screens: a line of text to enter, a menu, and a page to read."""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.format.text import Line, Span, clean, wrap
from tui.input.handlers import handles
from tui.widgets.actionable import Actionable
from tui.widgets.text_view import TextView


class AskText(ModalScreen[str | None]):
    """Asks for one line of text. The result is None if the person cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, title: str, *, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._heading = title
        self._value = value
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        with Vertical(id="ask") as box:
            box.border_title = Content(clean(self._heading))
            box.border_subtitle = Content("enter confirm · esc cancel")
            line = Input(clean(self._value), placeholder=self._placeholder)
            line.cursor_blink = False  # each blink would be sent over a slow connection
            yield line

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_cancel(self) -> None:
        self.dismiss(None)


HIGHEST = 0.9
"""The share of the screen's height that a dialog may take, as in the stylesheet."""
FRAME = 5
"""Lines of a dialog around its text, and between the text and the items."""


class MenuItem(NamedTuple):
    """An item with its key. `unavailable` says why it cannot be chosen, and is empty if it can."""

    key: str
    label: str
    detail: str = ""
    unavailable: str = ""


class Menu(ModalScreen[str | None], Actionable):
    """A few items, each with a key. The result is the key of the chosen item, or None if the person cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("j,down", "move(1)", "Down"),
        Binding("k,up", "move(-1)", "Up"),
        Binding("enter", "choose", "Choose"),
    ]

    def __init__(self, title: str, text: str, items: Sequence[MenuItem]) -> None:
        super().__init__()
        self._heading = title
        self._text = text
        self._items = list(items)
        self._at = next((i for i, item in enumerate(items) if not item.unavailable), 0)

    def compose(self) -> ComposeResult:
        with Vertical(id="menu") as box:
            box.border_title = Content(clean(self._heading))
            box.border_subtitle = Content("enter choose · esc cancel")
            items = TextView(id="menu-items")
            items.can_focus = False  # the screen handles the keys
            yield items

    def on_mount(self) -> None:
        self.call_after_refresh(self._draw)  # the height depends on the width

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        view = self.query_one(TextView)
        view.set(self._lines)
        view.styles.height = len(self._lines(view.cells))

    def _lines(self, cells: int) -> list[Line]:
        lines: list[Line] = []
        for index, item in enumerate(self._items):
            here = "on:cursor " if index == self._at else ""
            style = "dim" if item.unavailable else "text"
            label = f" {item.label}".ljust(cells - 5)
            lines.append((Span(" "), Span(f" {item.key} ", here + "accent bold"), Span(label, here + style)))
            detail = (item.unavailable and f"not available: {item.unavailable}") or item.detail
            if detail:
                lines += [(Span("     "), *line) for line in wrap(detail, cells - 6, "dim")]
        if not self._text:
            return lines
        text = [(Span(" "), *line) for line in wrap(self._text, cells - 2, "text")]
        room = max(1, int(self.app.size.height * HIGHEST) - FRAME - len(lines))
        if len(text) > room:  # the items must show; what a text asks or advises stands at its ends
            first = room // 3
            text = [*text[:first], (Span(" …", "dim"),), *text[len(text) - (room - 1 - first) :]]
        return [*text, (), *lines]

    def on_key(self, event: events.Key) -> None:
        for index, item in enumerate(self._items):
            if event.character == item.key:
                event.stop()
                self._at = index
                self.action_choose()
                return

    def action_move(self, by: int) -> None:
        self._at = (self._at + by) % len(self._items)
        self._draw()

    def action_choose(self) -> None:
        item = self._items[self._at]
        if item.unavailable:
            self.host.show_note(f"{item.label}: {item.unavailable}")
            self._draw()
        else:
            self.dismiss(item.key)

    def action_cancel(self) -> None:
        self.dismiss(None)


class TextPage(ModalScreen[None], Actionable):
    """A page of text to read and scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "act('list.back')", "Close")]

    def __init__(self, title: str, build: Callable[[int], list[Line]], subtitle: str = "esc close") -> None:
        super().__init__()
        self._heading = title
        self._build = build
        self._subtitle = subtitle

    def compose(self) -> ComposeResult:
        with Vertical(id="page") as box:
            box.border_title = Content(clean(self._heading))
            box.border_subtitle = Content(self._subtitle)
            yield TextView(id="page-text")

    def on_mount(self) -> None:
        self.query_one(TextView).set(self._build)
        self.query_one(TextView).focus()

    @handles("list.back")
    def go_back(self) -> None:
        self.dismiss(None)

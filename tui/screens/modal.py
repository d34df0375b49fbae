"""Small screens over the others: a question for text, a choice, and a page of text."""

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


class Ask(ModalScreen[str | None]):
    """Asks for one line of text; None when the person leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, title: str, *, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._heading = title
        self._value = value
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        with Vertical(id="ask") as box:
            box.border_title = Content(clean(self._heading))
            box.border_subtitle = Content("enter sends · esc leaves")
            line = Input(clean(self._value), placeholder=self._placeholder)
            line.cursor_blink = False  # a blink is paint, over slow lines too
            yield line

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_leave(self) -> None:
        self.dismiss(None)


class Choice(NamedTuple):
    """One way to go on. `unavailable` says why it cannot be chosen; empty when it can."""

    key: str
    label: str
    detail: str = ""
    unavailable: str = ""


class Choose(ModalScreen[str | None], Actionable):
    """A few choices, each on a key; None when the person leaves. The answer is the choice's key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("j,down", "move(1)", "Down"),
        Binding("k,up", "move(-1)", "Up"),
        Binding("enter", "take", "Choose"),
    ]

    def __init__(self, title: str, text: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._heading = title
        self._text = text
        self._choices = list(choices)
        self._at = next((i for i, choice in enumerate(choices) if not choice.unavailable), 0)

    def compose(self) -> ComposeResult:
        with Vertical(id="choose") as box:
            box.border_title = Content(clean(self._heading))
            box.border_subtitle = Content("a key or enter · esc goes back")
            choices = TextView(id="choices")
            choices.can_focus = False  # the keys are the screen's
            yield choices

    def on_mount(self) -> None:
        self.call_after_refresh(self._draw)  # its height follows from its width

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        prose = self.query_one(TextView)
        prose.set(self._tell)
        prose.styles.height = len(self._tell(prose.cells))

    def _tell(self, cells: int) -> list[Line]:
        lines: list[Line] = []
        if self._text:
            lines += [(Span(" "), *line) for line in wrap(self._text, cells - 2, "text")]
            lines.append(())
        for index, choice in enumerate(self._choices):
            here = "on:cursor " if index == self._at else ""
            style = "dim" if choice.unavailable else "text"
            label = f" {choice.label}".ljust(cells - 5)
            lines.append((Span(" "), Span(f" {choice.key} ", here + "accent bold"), Span(label, here + style)))
            detail = (choice.unavailable and f"not now: {choice.unavailable}") or choice.detail
            if detail:
                lines += [(Span("     "), *line) for line in wrap(detail, cells - 6, "dim")]
        return lines

    def on_key(self, event: events.Key) -> None:
        for index, choice in enumerate(self._choices):
            if event.character == choice.key:
                event.stop()
                self._at = index
                self.action_take()
                return

    def action_move(self, by: int) -> None:
        self._at = (self._at + by) % len(self._choices)
        self._draw()

    def action_take(self) -> None:
        choice = self._choices[self._at]
        if choice.unavailable:
            self.host.show_note(f"{choice.label}: {choice.unavailable}")
            self._draw()
        else:
            self.dismiss(choice.key)

    def action_leave(self) -> None:
        self.dismiss(None)


class Page(ModalScreen[None], Actionable):
    """A page of text to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave")]

    def __init__(self, title: str, build: Callable[[int], list[Line]], subtitle: str = "esc leaves") -> None:
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

    def action_leave(self) -> None:
        self.dismiss(None)

"""The screen that shows one handoff in full."""

from concurrent.futures import Future
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen

from tui.bridge import Followed, Handoff
from tui.format.text import Line
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.widgets.actionable import Actionable
from tui.widgets.handoffs import HandoffList, handoff_lines, mark_resolved, reply_lines
from tui.widgets.header import Header
from tui.widgets.tab_strip import Footer
from tui.widgets.text_view import TextView


class HandoffReader(Actionable, Screen[str | None]):
    """Steps through the handoffs of the list. The result is an action to run on the main screen, or None."""

    SCOPES: ClassVar[tuple[str, ...]] = ("handoffs",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *DEFAULT.bindings("handoffs"),
        Binding("escape,q", "act('list.back')", "Return to the list"),
        Binding("n", "step(1)", "Show the older handoff", priority=True),
        Binding("N", "step(-1)", "Show the newer handoff", priority=True),
    ]

    def __init__(self, handoffs: HandoffList) -> None:
        super().__init__()
        self._list = handoffs
        self._followed: Followed | None = None

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Vertical(id="reader", classes="pane"):
            yield TextView(id="reader-text")
        yield Footer(id="footer")

    def on_mount(self) -> None:
        self.query_one(TextView).focus()
        self.query_one(Footer).set_scopes(("handoffs",), self.host.context())
        self._draw()

    def _draw(self) -> None:
        handoff = self._list.current
        if handoff is None:
            self.dismiss(None)
            return
        pane = self.query_one("#reader")
        pane.border_title = Content(f"handoff {self._list.cursor + 1} of {self._list.line_count()}")
        pane.border_subtitle = Content("n older · N newer · esc close")
        self._followed = None
        self._show(handoff)
        if handoff.to_agent is not None:
            self.host.when_done(self.host.session.followed(handoff.id), lambda done: self._take(handoff, done))

    def _show(self, handoff: Handoff) -> None:
        self.query_one(TextView).set(lambda cells: self._lines(handoff, min(cells, 110)), key=handoff.id)

    def _take(self, handoff: Handoff, done: "Future[Followed]") -> None:
        current = self._list.current
        if current is None or current.id != handoff.id or not self.is_current or done.cancelled():
            return
        if done.exception() is None:  # without an answer the handoff alone is shown
            self._followed = done.result()
            self._show(handoff)

    def _lines(self, handoff: Handoff, cells: int) -> list[Line]:
        lines = handoff_lines(self.view, handoff, cells)
        return lines + reply_lines(self._followed, cells) if self._followed is not None else lines

    def action_step(self, by: int) -> None:
        self._list.move(by)
        self._draw()

    @handles("list.back")
    def go_back(self) -> None:
        self.dismiss(None)

    @handles("handoffs.diff")
    def show_diff(self) -> None:
        self.dismiss("handoffs.diff")

    @handles("handoffs.task")
    def show_task(self) -> None:
        self.dismiss("handoffs.task")

    @handles("handoffs.reply")
    def reply(self) -> None:
        self.dismiss("handoffs.reply")

    @handles("handoffs.resolve")
    def toggle_resolved(self) -> None:
        if (handoff := self._list.current) is not None:
            mark_resolved(self.host, handoff)

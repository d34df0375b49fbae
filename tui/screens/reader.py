"""One handoff in full, over the main screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen

from tui.bridge import Handoff
from tui.keymap import DEFAULT
from tui.text import Line
from tui.widgets.acting import Acting
from tui.widgets.handoffs import HandoffList, tell_handoff
from tui.widgets.header import Header
from tui.widgets.prose import Prose
from tui.widgets.strips import Footer


class HandoffReader(Acting, Screen[str | None]):
    """Reads the list's handoffs one by one; the answer is the action to go on with on the main screen."""

    SCOPES: ClassVar[tuple[str, ...]] = ("handoffs",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *DEFAULT.bindings("handoffs"),
        Binding("escape,q", "leave", "Back to the list"),
        Binding("n", "step(1)", "Older handoff"),
        Binding("N", "step(-1)", "Newer handoff"),
    ]

    def __init__(self, handoffs: HandoffList) -> None:
        super().__init__()
        self._list = handoffs

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Vertical(id="reader", classes="pane"):
            yield Prose(id="reader-text")
        yield Footer(id="footer")

    def on_mount(self) -> None:
        self.query_one(Prose).focus()
        self.query_one(Footer).point(("handoffs",), self.host.context())
        self._draw()

    def _draw(self) -> None:
        handoff = self._list.current
        if handoff is None:
            self.dismiss(None)
            return
        pane = self.query_one("#reader")
        pane.border_title = Content(f"handoff {self._list.cursor + 1} of {self._list.line_count()}")
        pane.border_subtitle = Content("n older · N newer · esc back")
        self.query_one(Prose).set(lambda cells: self._tell(handoff, cells), key=handoff.id)

    def _tell(self, handoff: Handoff, cells: int) -> list[Line]:
        return tell_handoff(self.view, handoff, min(cells, 110))

    def action_step(self, by: int) -> None:
        self._list.move(by)
        self._draw()

    def action_leave(self) -> None:
        self.dismiss(None)

    def do_back(self) -> None:
        self.dismiss(None)

    def do_next_match(self) -> None:
        self.action_step(1)

    def do_previous_match(self) -> None:
        self.action_step(-1)

    def do_diff(self) -> None:
        self.dismiss("handoffs.diff")

    def do_task(self) -> None:
        self.dismiss("handoffs.task")

    def do_reply(self) -> None:
        self.dismiss("handoffs.reply")

    def do_resolve(self) -> None:
        self._list.resolve()
        self._draw()

"""The start screen: what a run would work with, and the editor for its intent; one key starts."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import TextArea

from tui.bridge import Start
from tui.text import Line, Span, clean
from tui.widgets.acting import Acting
from tui.widgets.prose import Prose, fact
from tui.widgets.strips import StripWidget


class StartBar(StripWidget):
    """The program's name above, the keys below."""

    def __init__(self, line: Line, *, id: str) -> None:
        super().__init__(id=id)
        self._line = line

    def lines(self, cells: int) -> list[Line]:
        return [self._line]


class StartScreen(Acting, Screen[None]):
    """Shown when there is no run yet."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "begin", "Start the swarm"),
        Binding("escape", "leave_text", "Leave the text"),
        Binding("enter,i", "edit", "Edit the intent"),
        Binding("q", "leave", "Leave"),
    ]

    class Begin(Message):
        """The person starts the swarm with this intent."""

        def __init__(self, intent: str) -> None:
            super().__init__()
            self.intent = intent

    def __init__(self, start: Start) -> None:
        super().__init__()
        self._start = start

    def compose(self) -> ComposeResult:
        yield StartBar((Span(" ◆ swarm ", "accent bold"), Span("a new run", "dim")), id="header")
        with Vertical(id="facts") as facts:
            facts.border_title = "this run"
            yield Prose(id="start-facts")
        with Vertical(id="start-intent") as pane:
            pane.border_title = "what should the swarm build?"
            pane.border_subtitle = Content("Markdown")
            yield TextArea(clean(self._start.draft), id="intent-text", soft_wrap=True, show_line_numbers=False)
        keys = (("f2", "start the swarm"), ("esc", "leave the text"), ("q", "quit"))
        yield StartBar(
            tuple(span for key, label in keys for span in (Span(f" {key}", "accent bold"), Span(f" {label}  ", "dim"))),
            id="footer",
        )

    def on_mount(self) -> None:
        prose = self.query_one(Prose)
        prose.can_focus = False
        prose.styles.height = len(self._tell(100))
        prose.set(self._tell)
        self.query_one(TextArea).focus()

    def _tell(self, cells: int) -> list[Line]:
        start = self._start
        lines = [
            *fact("repo", start.repo, "text bold", cells=cells),
            *fact("branch", start.branch or "detached head", cells=cells),
        ]
        if start.check:
            lines += fact("check", start.check, cells=cells)
        else:
            lines += fact("check", "none: green will not move (--check 'COMMAND' sets one)", "paused", cells=cells)
        for role, model in start.models.items():
            lines += fact(role, model or "none chosen", "text" if model else "paused", cells=cells)
        level = start.sandbox_level
        lines += fact("sandbox", level or "unknown", "failed bold" if level == "off" else "text", cells=cells)
        for warning in start.warnings:
            lines += fact("! warning", warning, "paused", cells=cells)
        if start.problem:
            lines += fact("✗ problem", start.problem, "failed bold", cells=cells)
            lines += fact("", start.hint, cells=cells)
        return lines

    def action_begin(self) -> None:
        text = self.query_one(TextArea).text.strip()
        if self._start.problem:
            self.host.tell(f"{self._start.problem}: {self._start.hint}", bad=True)
        elif not text:
            self.host.tell("write first what the swarm should build", bad=True)
        else:
            self.post_message(self.Begin(text))

    def action_leave_text(self) -> None:
        self.set_focus(None)

    def action_edit(self) -> None:
        self.query_one(TextArea).focus()

    def action_leave(self) -> None:
        self.app.exit(0)

"""The prompt editor: the intent in all its versions, and a new one, compared with the running one before it applies."""

import difflib
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import TextArea

from tui.bridge import Intent, SubmitIntent
from tui.figures import age, clock
from tui.keymap import DEFAULT
from tui.screens.modal import Choice, Choose
from tui.text import EMPTY, Line, Span, clean
from tui.widgets.acting import Acting
from tui.widgets.header import Header
from tui.widgets.prose import Prose, tell_change
from tui.widgets.strips import Footer, TabStrip


class IntentScreen(Acting, Screen[None]):
    """The editor over the main screen. The draft outlives it."""

    SCOPES: ClassVar[tuple[str, ...]] = ("intent",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *DEFAULT.bindings("intent"),
        Binding("left_square_bracket", "version(-1)", "Version before"),
        Binding("right_square_bracket", "version(1)", "Version after"),
        Binding("enter,i", "edit", "Edit the draft"),
        Binding("u", "roll_back", "Roll back to the shown version"),
        Binding("q", "leave_now", "Leave"),
    ]

    def __init__(self, draft: str) -> None:
        super().__init__()
        self.draft = clean(draft)
        self._at = -1  # the shown version's index; -1 is the draft

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Vertical(id="intent-pane") as pane:
            pane.border_title = "intent"
            yield TabStrip(self._names(), id="intent-tabs")
            yield TextArea(self.draft, id="intent-text", show_line_numbers=False, soft_wrap=True)
            yield Prose(id="intent-version")
        yield Footer(id="footer")

    def on_mount(self) -> None:
        self._show(-1)
        self.query_one(TextArea).focus()
        self.query_one(Footer).point(("intent",), self.host.context())

    @property
    def _intents(self) -> Sequence[Intent]:
        return self.view.run.intents if self.view.run is not None else ()

    def _names(self) -> list[str]:
        return [*(f"v{intent.version}" for intent in self._intents), "draft"]

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.draft = event.text_area.text

    def _show(self, at: int) -> None:
        self._at = at
        text, version = self.query_one(TextArea), self.query_one("#intent-version", Prose)
        self.query_one(TabStrip).choose("draft" if at < 0 else f"v{self._intents[at].version}")
        text.display, version.display = at < 0, at >= 0
        pane = self.query_one("#intent-pane")
        if at < 0:
            pane.border_subtitle = Content("esc leaves the text, then [ ] versions · f2 compares and applies")
            text.focus()
            return
        pane.border_subtitle = Content("[ ] versions · u rolls back to this one · i the draft · esc leaves")
        version.set(lambda cells: self._tell(at), key=at)
        version.focus()

    def _tell(self, at: int) -> list[Line]:
        intent = self._intents[at]
        led_to = 0
        if self.view.run is not None:
            led_to = sum(task.intent == intent.version for task in self.view.run.tasks.values())
        ago = age(self.host.now() - intent.at)
        lines: list[Line] = [
            (
                Span(f" version {intent.version}", "accent bold"),
                Span(f" by {intent.author}, {clock(intent.at)} UTC, {ago} ago", "dim"),
            ),
            (Span(f" led to {led_to} tasks", "dim"),),
            EMPTY,
        ]
        if at:
            return lines + tell_change(self._intents[at - 1].text, intent.text)
        return lines + [(Span(" " + line, "text"),) for line in clean(intent.text).split("\n")]

    def action_version(self, step: int) -> None:
        order = [*range(len(self._intents)), -1]
        self._show(order[(order.index(self._at) + step) % len(order)])

    def action_edit(self) -> None:
        self._show(-1)

    def action_leave_now(self) -> None:
        self.dismiss(None)

    def do_leave(self) -> None:
        """Out of the text first, then out of the editor."""
        if self.focused is not None and isinstance(self.focused, TextArea):
            self.set_focus(None)
        else:
            self.dismiss(None)

    def do_back(self) -> None:
        self.dismiss(None)

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        self._show(self._names().index(event.name) if event.name != "draft" else -1)

    def do_apply(self) -> None:
        self._confirm(self.draft, "Apply this intent?")

    def action_roll_back(self) -> None:
        if self._at >= 0:
            intent = self._intents[self._at]
            self._confirm(intent.text, f"Roll back to version {intent.version}? It becomes a new version.")

    def _confirm(self, text: str, title: str) -> None:
        running = self._intents[-1].text if self._intents else ""
        if not text.strip():
            self.host.tell("the intent is empty", bad=True)
            return
        if text.strip() == running.strip():
            self.host.tell("this is what the swarm works on already")
            return
        added = removed = 0
        shown: list[str] = []
        for line in difflib.unified_diff(running.splitlines(), text.splitlines(), lineterm="", n=1):
            if line.startswith(("+++", "---")):
                continue
            added += line.startswith("+")
            removed += line.startswith("-")
            shown.append(line)
        preview = "\n".join(shown[:18]) + ("\n…" if len(shown) > 18 else "")
        self.app.push_screen(
            Choose(
                title,
                f"{added} lines added, {removed} removed\n\n{preview}",
                [Choice("y", "apply", "planners are told; running work goes on"), Choice("n", "keep editing")],
            ),
            lambda answer: self._applied(text) if answer == "y" else None,
        )

    def _applied(self, text: str) -> None:
        self.host.command(SubmitIntent(text), "the new intent is on its way to the root planner")
        self.dismiss(None)

"""The intent editor: all versions of the intent, and a draft that is reviewed before it is applied."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import TextArea

from tui.bridge import Intent, Snapshot, SubmitIntent, TaskState
from tui.format.numbers import age, clock, counted
from tui.format.state_styles import TASK
from tui.format.text import Line, Span, clean, one_line
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.screens.clipboard_and_editor import edit_outside
from tui.screens.confirm_intent import ConfirmIntent
from tui.widgets.actionable import Actionable
from tui.widgets.header import Header
from tui.widgets.markdown import MarkdownEditor
from tui.widgets.tab_strip import Footer, TabStrip
from tui.widgets.text_view import TextView, change_lines, heading, paragraph

TASKS = 12
"""The most tasks that are listed for a version."""


class IntentScreen(Actionable, Screen[None]):
    """Edits the draft, and shows earlier versions."""

    SCOPES: ClassVar[tuple[str, ...]] = ("intent",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *DEFAULT.bindings("intent"),
        Binding("left_square_bracket", "version(-1)", "Show the previous version"),
        Binding("right_square_bracket", "version(1)", "Show the next version"),
        Binding("enter,i", "edit", "Edit the draft"),
        Binding("u", "roll_back", "Roll back to this version"),
        Binding("q", "act('list.back')", "Close"),
    ]

    def __init__(self, draft: str) -> None:
        super().__init__()
        self.draft = clean(draft)
        self._at = -1  # the index of the version that is shown; -1 is the draft

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Vertical(id="intent-pane") as pane:
            pane.border_title = "intent"
            yield TabStrip(self._names(), id="intent-tabs")
            yield MarkdownEditor(self.draft, id="intent-text")
            yield TextView(id="intent-version")
        yield Footer(id="footer")

    def on_mount(self) -> None:
        self._show(-1)
        self.query_one(Footer).set_scopes(("intent",), self.host.context())

    @property
    def _intents(self) -> Sequence[Intent]:
        return self.view.run.intents if self.view.run is not None else ()

    @property
    def _editor(self) -> MarkdownEditor:
        return self.query_one(MarkdownEditor)

    def _names(self) -> list[str]:
        return [*(f"v{intent.version}" for intent in self._intents), "draft"]

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.draft = event.text_area.text
        self.host.save_draft(self.draft)

    # --- versions ---------------------------------------------------------------------------------------------

    def _show(self, at: int) -> None:
        self._at = at
        version = self.query_one("#intent-version", TextView)
        self.query_one(TabStrip).choose("draft" if at < 0 else f"v{self._intents[at].version}")
        self._editor.display, version.display = at < 0, at >= 0
        pane = self.query_one("#intent-pane")
        if at < 0:
            pane.border_subtitle = Content(
                "f2 review and apply · f3 f4 undo, redo · f5 $EDITOR · esc, then [ ] versions"
            )
            self._editor.focus()
            return
        pane.border_subtitle = Content("[ ] versions · u roll back to this version · i draft · esc close")
        version.set(lambda cells: self._version_lines(at, cells), key=at)
        version.focus()

    def _version_lines(self, at: int, cells: int) -> list[Line]:
        intent, run = self._intents[at], self.view.run
        ago = age(self.host.now() - intent.at)
        lines: list[Line] = [
            (
                Span(f" version {intent.version}", "accent bold"),
                Span(f" by {one_line(intent.author)}, {clock(intent.at)}, {ago} ago", "dim"),
            )
        ]
        if run is not None:
            lines += _task_lines(run, intent, newest=at == len(self._intents) - 1)
        if at:
            lines += [*heading("Changes"), *change_lines(self._intents[at - 1].text, intent.text)]
        return [*lines, *heading("Text"), *paragraph(clean(intent.text), cells)]

    def action_version(self, step: int) -> None:
        order = [*range(len(self._intents)), -1]
        self._show(order[(order.index(self._at) + step) % len(order)])

    def action_edit(self) -> None:
        self._show(-1)

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        self._show(self._names().index(event.name) if event.name != "draft" else -1)

    # --- actions ----------------------------------------------------------------------------------------------

    @handles("intent.leave")
    def leave_text(self) -> None:
        """Leave the text if it has the focus, or else close the editor."""
        if self.focused is not None and isinstance(self.focused, TextArea):
            self.set_focus(None)
        else:
            self.dismiss(None)

    @handles("list.back")
    def go_back(self) -> None:
        self.dismiss(None)

    @handles("intent.undo_text")
    def undo_text(self) -> None:
        self._editor.undo()

    @handles("intent.redo_text")
    def redo_text(self) -> None:
        self._editor.redo()

    @handles("intent.open_editor")
    def open_editor(self) -> None:
        """Edit the draft in the person's editor."""
        self._show(-1)
        edited = edit_outside(self, "intent.md", self.draft)
        if edited is not None:
            self._editor.replace_all(edited)

    @handles("intent.apply")
    def apply(self) -> None:
        self._confirm(self.draft, f"Apply this intent as version {len(self._intents) + 1}?")

    def action_roll_back(self) -> None:
        if self._at < 0:
            self._editor.undo()
            return
        intent = self._intents[self._at]
        self._confirm(
            intent.text, f"Roll back to version {intent.version}? It becomes version {len(self._intents) + 1}."
        )

    def _confirm(self, text: str, title: str) -> None:
        running = self._intents[-1].text if self._intents else ""
        if reason := self.host.context().read_only:
            self.host.show_note(f"apply: {reason}", error=True)
        elif not text.strip():
            self.host.show_note("apply: the intent is empty", error=True)
        elif text.strip() == running.strip():
            self.host.show_note("apply: this is the running intent already")
        else:
            self.app.push_screen(ConfirmIntent(title, running, text), lambda yes: self._applied(text) if yes else None)

    def _applied(self, text: str) -> None:
        running = self._intents[-1].text if self._intents else ""
        self.host.commands.send_undoable(
            [SubmitIntent(text)],
            [SubmitIntent(running)],
            "new intent sent to the root planner",
            "new intent" if running else "",
        )
        self.dismiss(None)


def _task_lines(run: Snapshot, intent: Intent, *, newest: bool) -> list[Line]:
    """The tasks that a version led to, and those that still run for it."""
    tasks = [task for task in run.tasks.values() if task.intent == intent.version]
    if not tasks:
        return [(Span(" no tasks yet", "dim"),)]
    states = Counter(task.state for task in tasks)
    counts = ", ".join(f"{states[state]} {TASK[state].word}" for state in TaskState if states[state])
    open_ = [task for task in tasks if not task.ended]
    lines: list[Line] = [(Span(f" {counted(len(tasks), 'task')}: {counts}", "text"),)]
    if open_ and not newest:
        lines.append((Span(f" {len(open_)} still open for this older version", "paused"),))
    for task in [*open_, *(task for task in reversed(tasks) if task.ended)][:TASKS]:
        look = TASK[task.state]
        lines.append((Span(f"   {look.glyph} {look.word:<10}", look.style), Span(one_line(task.spec.title), "text")))
    if len(tasks) > TASKS:
        lines.append((Span(f"   … and {len(tasks) - TASKS} more", "dim"),))
    return lines

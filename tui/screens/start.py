"""The start screen: what a new run would work with, and an editor for its intent."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import TextArea

from tui.bridge import SwarmError
from tui.format.text import Line
from tui.format.title import title
from tui.screens.clipboard_and_editor import edit_outside
from tui.screens.confirm_intent import KeyBar
from tui.sessions.launch import RunPlan
from tui.widgets.actionable import Actionable
from tui.widgets.markdown import MarkdownEditor
from tui.widgets.tab_strip import StripWidget
from tui.widgets.text_view import TextView, fact


class StartTitle(StripWidget):
    """The header of the start screen."""

    def lines(self, cells: int) -> list[Line]:
        return [title("a new run")]


class StartScreen(Actionable, Screen[None]):
    """Edits the intent of a new run, and starts it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "begin", "Start the run"),
        Binding("f3,ctrl+z", "undo_text", "Undo the last edit"),
        Binding("f4,ctrl+y", "redo_text", "Redo the last edit"),
        Binding("f5,e", "open_editor", "Edit the intent in $EDITOR"),
        Binding("f8", "check", "Use the suggested check, or none"),
        Binding("escape", "leave_text", "Leave the text"),
        Binding("enter,i", "edit", "Edit the intent"),
        Binding("q", "quit", "Quit"),
    ]

    class Begin(Message):
        """The person starts a run with this intent; `check` is the suggested one if it is used."""

        def __init__(self, intent: str, check: str) -> None:
            super().__init__()
            self.intent = intent
            self.check = check

    def __init__(self, plan: RunPlan, probe_sandbox: Callable[[], str]) -> None:
        super().__init__()
        self._plan = plan
        self._probe_sandbox = probe_sandbox
        self._level = ""
        self._checked = bool(plan.suggested)

    def compose(self) -> ComposeResult:
        yield StartTitle(id="header")
        with Vertical(id="facts") as facts:
            facts.border_title = "this run"
            yield TextView(id="start-facts")
        with Vertical(id="start-intent") as pane:
            pane.border_title = "what should the swarm build?"
            pane.border_subtitle = Content("Markdown")
            yield MarkdownEditor(self._plan.draft, id="intent-text")
        check = (("f8", "check"),) if self._plan.suggested else ()
        keys = (("f2", "start"), *check, ("f3 f4", "undo redo"), ("f5", "$EDITOR"), ("esc q", "quit"))
        yield KeyBar(keys, id="footer")

    def on_mount(self) -> None:
        self.query_one(TextView).can_focus = False
        self._draw()
        self.query_one(MarkdownEditor).focus()
        self.call_after_refresh(lambda: self.run_worker(self._find_level()))  # it would delay the first paint

    def on_resize(self) -> None:
        self._draw()

    async def _find_level(self) -> None:
        try:
            self._level = await asyncio.to_thread(self._probe_sandbox)
        except SwarmError as error:
            self._level = f"none: {error.message}"
        self._draw()

    def _draw(self) -> None:
        view = self.query_one(TextView)
        view.styles.height = len(self._lines(max(20, self.size.width - 4)))
        view.set(self._lines, key=self._plan)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.host.save_draft(event.text_area.text)

    def _lines(self, cells: int) -> list[Line]:
        plan = self._plan
        lines: list[Line] = []
        if plan.problem:
            lines += fact("✗ problem", plan.problem, "failed bold", cells=cells)
            lines += fact("", plan.hint, cells=cells)
        lines += [
            *fact("repo", plan.repo, "text bold", cells=cells),
            *fact("branch", plan.branch or "detached head", cells=cells),
        ]
        if plan.check:
            lines += fact("check", plan.check, cells=cells)
        elif self._checked:
            lines += fact("check", f"{plan.suggested}   (found in the project; f8 removes it)", cells=cells)
        else:
            how = f"f8 uses {plan.suggested}" if plan.suggested else "set one with --check 'COMMAND'"
            lines += fact("check", f"none, so green stays empty; {how}", "paused", cells=cells)
        for role, model in plan.models.items():
            lines += fact(role, model or "not set", "text" if model else "paused", cells=cells)
        if keys := ", ".join(f"{name} {state}" for name, state in plan.keys.items()):
            lines += fact("keys", keys, "text", cells=cells)
        level = self._level or plan.sandbox_level
        asked = " (requested; probing…)" if not self._level else ""
        style = "failed bold" if level.startswith(("off", "none")) else "text"
        lines += fact("sandbox", (level or "unknown") + asked, style, cells=cells)
        for warning in plan.warnings:
            lines += fact("! warning", warning, "paused", cells=cells)
        return lines

    def action_begin(self) -> None:
        text = self.query_one(MarkdownEditor).text.strip()
        if self._plan.problem:
            self.host.show_note(f"{self._plan.problem}: {self._plan.hint}", error=True)
        elif not text:
            self.host.show_note("start: the intent is empty", error=True)
        else:
            self.post_message(self.Begin(text, self._plan.suggested if self._checked else ""))

    def action_leave_text(self) -> None:
        self.set_focus(None)

    def action_edit(self) -> None:
        self.query_one(MarkdownEditor).focus()

    def action_undo_text(self) -> None:
        self.query_one(MarkdownEditor).undo()

    def action_redo_text(self) -> None:
        self.query_one(MarkdownEditor).redo()

    def action_open_editor(self) -> None:
        editor = self.query_one(MarkdownEditor)
        edited = edit_outside(self, "intent.md", editor.text)
        if edited is not None:
            editor.replace_all(edited)
            editor.focus()

    def action_check(self) -> None:
        self._checked = bool(self._plan.suggested) and not self._checked
        self._draw()

    def action_quit(self) -> None:
        self.app.exit(0)

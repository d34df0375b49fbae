"""The start screen: what a run would work with, and the editor for its intent; one key starts."""

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
from tui.screens.clipboard_and_editor import Outside
from tui.screens.confirm_intent import KeyBar
from tui.sessions.session import Start
from tui.widgets.markdown import MarkdownEditor
from tui.widgets.tab_strip import StripWidget
from tui.widgets.text_view import TextView, fact


class StartTitle(StripWidget):
    """The program's name."""

    def lines(self, cells: int) -> list[Line]:
        return [title("a new run")]


class StartScreen(Outside, Screen[None]):
    """Shown when there is no run yet."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "begin", "Start the swarm"),
        Binding("f3,ctrl+z", "undo_text", "Undo the last edit"),
        Binding("f4,ctrl+y", "redo_text", "Redo it"),
        Binding("f5,e", "open_editor", "Edit the intent in $EDITOR"),
        Binding("f8", "check", "Use the check that was found, or none"),
        Binding("escape", "leave_text", "Leave the text"),
        Binding("enter,i", "edit", "Edit the intent"),
        Binding("q", "leave", "Leave"),
    ]

    class Begin(Message):
        """The person starts the swarm with this intent; `check` is what was found and is to be used."""

        def __init__(self, intent: str, check: str) -> None:
            super().__init__()
            self.intent = intent
            self.check = check

    def __init__(self, start: Start, look: Callable[[], str] | None = None) -> None:
        """`look` finds the sandbox level that a run would have; it takes a moment and is called beside the screen."""
        super().__init__()
        self._start = start
        self._look = look
        self._level = ""
        self._checked = bool(start.suggested)

    def compose(self) -> ComposeResult:
        yield StartTitle(id="header")
        with Vertical(id="facts") as facts:
            facts.border_title = "this run"
            yield TextView(id="start-facts")
        with Vertical(id="start-intent") as pane:
            pane.border_title = "what should the swarm build?"
            pane.border_subtitle = Content("Markdown")
            yield MarkdownEditor(self._start.draft, id="intent-text")
        check = (("f8", "check"),) if self._start.suggested else ()
        keys = (("f2", "start the swarm"), *check, ("f3 f4", "undo redo"), ("f5", "$EDITOR"), ("esc q", "quit"))
        yield KeyBar(keys, id="footer")

    def on_mount(self) -> None:
        self.query_one(TextView).can_focus = False
        self._draw()
        self.query_one(MarkdownEditor).focus()
        if self._look is not None:
            self.run_worker(self._find_level(self._look))

    def on_resize(self) -> None:
        self._draw()

    async def _find_level(self, look: Callable[[], str]) -> None:
        try:
            self._level = await asyncio.to_thread(look)
        except SwarmError as error:
            self._level = f"none: {error.message}"
        self._draw()

    def _draw(self) -> None:
        prose = self.query_one(TextView)
        prose.styles.height = len(self._tell(max(20, self.size.width - 4)))
        prose.set(self._tell, key=self._start)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.host.save_draft(event.text_area.text)

    def _tell(self, cells: int) -> list[Line]:
        start = self._start
        lines: list[Line] = []
        if start.problem:
            lines += fact("✗ problem", start.problem, "failed bold", cells=cells)
            lines += fact("", start.hint, cells=cells)
        lines += [
            *fact("repo", start.repo, "text bold", cells=cells),
            *fact("branch", start.branch or "detached head", cells=cells),
        ]
        if start.check:
            lines += fact("check", start.check, cells=cells)
        elif self._checked:
            lines += fact("check", f"{start.suggested}   (found in the project; f8 leaves it out)", cells=cells)
        else:
            how = "f8 uses" if start.suggested else "--check 'COMMAND' sets one"
            lines += fact("check", f"none, so nothing becomes green: {how} {start.suggested}", "paused", cells=cells)
        for role, model in start.models.items():
            lines += fact(role, model or "none chosen", "text" if model else "paused", cells=cells)
        if keys := ", ".join(f"{name} {state}" for name, state in start.keys.items()):
            lines += fact("keys", keys, "text", cells=cells)
        level = self._level or start.sandbox_level
        asked = " (asked for; trying it…)" if self._look is not None and not self._level else ""
        style = "failed bold" if level.startswith(("off", "none")) else "text"
        lines += fact("sandbox", (level or "unknown") + asked, style, cells=cells)
        for warning in start.warnings:
            lines += fact("! warning", warning, "paused", cells=cells)
        return lines

    def action_begin(self) -> None:
        text = self.query_one(MarkdownEditor).text.strip()
        if self._start.problem:
            self.host.show_note(f"{self._start.problem}: {self._start.hint}", error=True)
        elif not text:
            self.host.show_note("write first what the swarm should build", error=True)
        else:
            self.post_message(self.Begin(text, self._start.suggested if self._checked else ""))

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
        edited = self.edit_outside("intent.md", editor.text)
        if edited is not None:
            editor.replace_all(edited)
            editor.focus()

    def action_check(self) -> None:
        self._checked = bool(self._start.suggested) and not self._checked
        self._draw()

    def action_leave(self) -> None:
        self.app.exit(0)

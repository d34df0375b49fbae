"""The handoffs pane: the list, newest first, with those that need a person marked; and one handoff as text."""

from typing import ClassVar

from textual.binding import BindingType

from tui.bridge import (
    Followed,
    Handoff,
    HandoffId,
    Recalled,
    Resolve,
    TaskState,
    checked_since,
    facts_lines,
    landing_text,
)
from tui.format.filters import Filter, handoff_filter
from tui.format.message_lines import target_of
from tui.format.numbers import age, clock, counted
from tui.format.state_styles import HANDOFF, LANDING, TASK
from tui.format.text import EMPTY, Line, Span, cut, fit, fit_end, one_line, plain_text, width_of
from tui.format.view import View
from tui.input.keys_in_force import DEFAULT
from tui.widgets.actionable import PaneHost
from tui.widgets.filtered_list import FilteredList
from tui.widgets.text_view import fact, heading, paragraph


class HandoffList(FilteredList[Handoff]):
    """The list of handoffs. The cursor stays on its handoff while new ones arrive above it."""

    SCOPES: ClassVar[tuple[str, ...]] = ("handoffs", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("handoffs")]
    NOUN: ClassVar[str] = "handoff"
    FILTER_HINT: ClassVar[str] = "text  !not  has:concerns  status:failed  under:root/parser"
    EMPTY_TEXT: ClassVar[str] = (
        "No handoffs yet. Every agent ends with one,\nand its planner reads it as its next message."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._handoffs: list[Handoff] = []
        self._built: tuple[object, ...] = ()

    def line_count(self) -> int:
        return len(self._handoffs) + bool(self._older)

    @property
    def matches(self) -> int:
        return len(self._handoffs)

    @property
    def total(self) -> int:
        return self.view.run.handoff_count if self.view.run is not None else 0

    @property
    def _older(self) -> int:
        """How many handoffs have left memory, if a line at the end stands for them."""
        run = self.view.run
        return run.handoff_count - len(run.handoffs) if run is not None and self._filter is None else 0

    @property
    def current(self) -> Handoff | None:
        """The handoff under the cursor."""
        return self._handoffs[self.cursor] if 0 <= self.cursor < len(self._handoffs) else None

    def copied_text(self) -> str:
        """The handoff under the cursor as text."""
        if self.current is None:
            return ""
        return plain_text(handoff_lines(self.view, self.current, 100))

    def _parse_filter(self, text: str) -> Filter[Handoff]:
        return handoff_filter(text, self.view.find)

    def _show_matches(self) -> None:
        self.update()

    def update(self) -> None:
        """Show the snapshot in view."""
        run = self.view.run
        if run is None:
            return
        built = (run.handoff_count, len(run.handoffs), self.filter_text)
        if built != self._built:
            self._built = built
            chosen = self.cursor or self.screen.focused is self  # otherwise the cursor goes to the newest one
            wanted = self.view.handoff if chosen else None
            self._handoffs = [h for h in reversed(run.handoffs.values()) if not self._filter or self._filter.matches(h)]
            self.show()
            self.cursor = next((i for i, h in enumerate(self._handoffs) if h.id == wanted), 0)
            self.view.handoff = self.current.id if self.current is not None else None
        self.show()

    def select(self, handoff: HandoffId) -> None:
        """Put the cursor on a handoff."""
        if handoff not in {h.id for h in self._handoffs}:
            self.set_filter("")
        for index, known in enumerate(self._handoffs):
            if known.id == handoff:
                self.view.handoff = handoff
                self.cursor = index
                return

    def watch_cursor(self, old: int, new: int) -> None:
        self.view.handoff = self.current.id if self.current is not None else None
        super().watch_cursor(old, new)

    def open_line(self) -> None:
        if self.current is not None or not self._older or (run := self.view.run) is None:
            super().open_line()
            return

        def show(_: Recalled) -> None:
            at = self.cursor
            self.update()
            self.cursor = at

        self._recall(self.host.session.older_handoffs(list(run.handoffs)), show)

    def line(self, index: int, cells: int) -> Line:
        if index == len(self._handoffs):
            words = f"… {counted(self._older, 'older handoff')} in the journal: enter shows more"
            return (Span(fit(f"  {words}", cells), "dim"),)
        handoff = self._handoffs[index]
        look = HANDOFF[handoff.text.status]
        wanted = handoff.needs_person
        mark = Span("!", "failed bold") if wanted else Span(" ")
        if self.view.run is not None and handoff.id in self.view.run.resolved:
            mark = Span("✓", "dim")
        path = one_line(self.view.path_of(handoff.agent))
        path_cells = min(34, max(16, cells // 4))
        landing = LANDING[handoff.landing] if handoff.landing is not None else None
        spans = [
            mark,
            Span(f" {look.glyph} ", look.style),
            Span(fit(look.word, 8), look.style),
            Span(fit(fit_end(path, path_cells), path_cells), "planner" if handoff.task is None else "text"),
            Span(" "),
            Span(fit(landing.word if landing else "–", 11), landing.style if landing else "dim"),
        ]
        right = Span(fit(age(self.host.now() - handoff.at), 5, right=True), "dim")
        left = cells - 5 - sum(len(span.text) for span in spans)
        flags = "".join(f" {name}" for name in ("concerns", "deviations", "findings") if name in handoff.text.sections)
        doubted = handoff.facts is not None and bool(handoff.facts.doubts)
        title = one_line(_title_of(self.view, handoff))
        summary = one_line(handoff.text.summary).removeprefix(f"{title}: ")
        text = (
            Span(title, "text"),
            Span(" claim in doubt" if doubted else "", "failed"),
            Span(f" — {summary}", "dim"),
            Span(f"  +{flags}" if flags else "", "accent"),
        )
        body = cut(text, left)
        return (*spans, *body, Span(" " * (left - width_of(body))), right)


def _title_of(view: View, handoff: Handoff) -> str:
    """The title of what was asked for: of the task, or of the subplanner's part."""
    if view.run is None:
        return ""
    task = view.run.tasks.get(handoff.task) if handoff.task is not None else None
    return task.spec.title if task is not None else view.run.agents[handoff.agent].title


def handoff_lines(view: View, handoff: Handoff, cells: int) -> list[Line]:
    """A whole handoff: its agent and planner, the outcome, and every section that is not empty."""
    run = view.run
    look = HANDOFF[handoff.text.status]
    task = run.tasks.get(handoff.task) if run is not None and handoff.task is not None else None
    lines: list[Line] = [
        (
            Span(f" {look.glyph} {look.word}  ", f"{look.style} bold"),
            Span(one_line(_title_of(view, handoff)), "text bold"),
        ),
        *fact(
            "from", view.path_of(handoff.agent) + (" (written by the engine)" if handoff.by_engine else ""), cells=cells
        ),
        *fact("to", view.path_of(handoff.to_agent) or "you: it ends the run", cells=cells),
        *fact("at", f"{clock(handoff.at)} · intent version {handoff.intent}", cells=cells),
    ]
    resolved = run.resolved.get(handoff.id) if run is not None else None
    lines += fact("id", f"{handoff.id}{f' · resolved at {clock(resolved)}' if resolved else ''}", cells=cells)
    if handoff.landing is not None:
        landing = LANDING[handoff.landing]
        newer = handoff.facts is not None and handoff.facts.onto_newer
        words = landing_text(handoff.landing, handoff.commit, onto_newer=newer)
        lines += fact("landing", f"{landing.glyph} {words}", landing.style, cells=cells)
        check = checked_since(run, handoff.commit) if run is not None and handoff.commit else None
        if check is not None:
            passed = ("done", "passes") if check.passed else ("failed", "fails")
            lines += fact("check", f"trunk {passed[1]} with it, at {clock(check.at)}", passed[0], cells=cells)
    if handoff.facts is not None:
        lines += heading("Facts")
        for label, value, printed in facts_lines(handoff.facts):
            lines += paragraph(f"{label}: {value}", cells, "failed" if label == "claim" else "text")
            lines += paragraph(printed, cells, "dim", indent=4) if printed else []
    texts = {"summary": handoff.text.summary, **handoff.text.sections}
    for name in ("summary", "concerns", "deviations", "findings", "notes", "feedback"):
        if text := texts.get(name, "").strip():
            lines += [*heading(name.capitalize()), *paragraph(text, cells, "paused" if name == "concerns" else "text")]
    if task is not None:
        lines += [*heading("Task"), *paragraph(task.spec.goal, cells, "dim")]
    return lines


def mark_resolved(host: PaneHost, handoff: Handoff) -> None:
    """Mark a handoff as resolved or unresolved. Resolved handoffs need no person."""
    run, path = host.view.run, host.view.path_of(handoff.agent)
    do = run is not None and handoff.id not in run.resolved
    note = f"handoff of {path} marked {'resolved' if do else 'unresolved'}"
    host.commands.send_undoable(
        [Resolve(handoff.id, do)], [Resolve(handoff.id, not do)], note, f"mark on the handoff of {path}"
    )


def reply_lines(followed: Followed, cells: int) -> list[Line]:
    """What the planner replied to a handoff, and the tasks that it created then."""
    answer = followed.answer
    if answer is None:
        return [EMPTY, (Span("  The planner has not read it yet.", "dim"),)]
    text = answer.text if answer.whole else f"{answer.text} …"
    lines = [*heading(f"Planner's reply, {clock(answer.at)}"), *paragraph(text or "(tool calls only)", cells)]
    for call in answer.calls:
        target = one_line(target_of(call.arguments))
        lines.append((Span("  ▶ ", "acting"), Span(one_line(call.tool) + " ", "acting"), Span(target, "dim")))
    lines += heading(f"New tasks: {len(followed.tasks) or 'none'}")
    for task in followed.tasks:
        look = TASK[TaskState(task.state)]
        lines.append((Span(f"  {look.glyph} {look.word:<10}", look.style), Span(one_line(task.title), "text")))
    return lines

"""One- and two-line strips: tabs, header and footer, each painted in one go."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.bridge import AgentState, Snapshot, TaskState
from tui.figures import age, count, dollars, percent, span
from tui.keymap import Context
from tui.states import RUN
from tui.text import EMPTY, Line, Span, fit, one_line, width_of
from tui.widgets.acting import Acting
from tui.widgets.lines import strip_of


class StripWidget(Acting, Widget):
    """Paints lines from `lines(cells)`."""

    GROUND: ClassVar[str] = "surface"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._painted: list[Line] = []

    def lines(self, cells: int) -> list[Line]:
        """What to paint."""
        raise NotImplementedError

    def update(self) -> None:
        """Paint again if something differs."""
        if self.lines(self.size.width) != self._painted:
            self.refresh()

    def render_line(self, y: int) -> Strip:
        cells = self.size.width
        if y == 0:
            self._painted = self.lines(cells)
        line = self._painted[y] if y < len(self._painted) else EMPTY
        return strip_of(line, self.palette, cells, f"on:{self.GROUND}")


class TabStrip(StripWidget):
    """Names of tabs, the chosen one marked; a click chooses."""

    GROUND: ClassVar[str] = "background"

    class Chosen(Message):
        def __init__(self, strip: "TabStrip", name: str) -> None:
            super().__init__()
            self.strip = strip
            self.name = name

        @property
        def control(self) -> "TabStrip":
            return self.strip

    def __init__(
        self, names: Sequence[str], *, id: str | None = None, prefix: Callable[[int], str] | None = None
    ) -> None:
        super().__init__(id=id)
        self._names = list(names)
        self._prefix = prefix
        self.chosen = self._names[0]

    def choose(self, name: str) -> None:
        self.chosen = name
        self.refresh()

    def _labels(self) -> list[str]:
        prefix = self._prefix
        return [f" {prefix(index)}{name} " if prefix else f" {name} " for index, name in enumerate(self._names)]

    def lines(self, cells: int) -> list[Line]:
        spans = [
            Span(label, "on:cursor text bold" if name == self.chosen else "dim")
            for label, name in zip(self._labels(), self._names, strict=True)
        ]
        return [tuple(spans)]

    def on_click(self, event: events.Click) -> None:
        at = 0
        for label, name in zip(self._labels(), self._names, strict=True):
            at += len(label)
            if event.x < at:
                self.post_message(self.Chosen(self, name))
                return


class Header(StripWidget):
    """What a person needs first, the least important left out where it does not fit."""

    def lines(self, cells: int) -> list[Line]:
        run = self.view.run
        if run is None or not run.run:
            return [(Span(" ◆ swarm ", "accent bold"), Span("starting…", "dim")), EMPTY]
        return [self._first(run, cells), self._second(run, cells)]

    def _first(self, run: Snapshot, cells: int) -> Line:
        look = RUN[run.state]
        left: list[Span] = [
            Span(" ◆ ", "accent bold"),
            Span(one_line(run.repo.rstrip("/").rpartition("/")[2] or run.repo), "text bold"),
            Span(f" {one_line(run.run if cells >= 110 else run.run[-4:])}", "dim"),
        ]
        for mark in (
            self.host.session.mark,
            "REHEARSAL" if run.rehearsal else "",
            "FROZEN" if self.view.frozen else "",
            "LEAVING" if self.host.leaving else "",
        ):
            if mark:
                left += [Span("  "), Span(f" {mark} ", "on:cursor accent bold")]
        left += [
            Span("  "),
            Span(f"{look.glyph} {look.word}", look.style),
            Span(f" {span(run.wall(self.host.now()))}", "text"),
        ]
        if run.reason:
            left.append(Span(f" {one_line(run.reason)}", "dim"))
        right: list[Span] = []
        if wants := len(self.view.attention()):
            right += [
                Span(f" ! {wants} need you " if cells >= 100 else f" !{wants} ", "on:cursor failed bold"),
                Span(" "),
            ]
        level = run.sandbox_level or "?"
        right.append(Span(f"sandbox {level} ", "failed bold" if level == "off" else "dim"))
        return _ends(left, right, cells)

    def _second(self, run: Snapshot, cells: int) -> Line:
        now = self.host.now()
        census = self.view.census
        # Agents that ended with a process that stopped are no failure: their tasks begin again.
        paused, failed = census.states[AgentState.PAUSED], run.task_counts[TaskState.FAILED]
        waiting = census.states[AgentState.WAITING]
        landed = run.task_counts[TaskState.LANDED]
        hours = run.wall(now) / 3_600_000_000
        usd = run.usage.usd
        rate = "" if usd is None or hours < 0.02 else f" {dollars(usd / hours)}/h"
        green = "no green yet" if run.green_at is None else f"green {age(now - run.green_at)} ago"
        if not run.check_command:
            green = "no check"
        wide = cells >= 110
        groups: list[tuple[int, list[Span]]] = [
            (0, [Span(f"● {census.working}", "thinking"), Span(" working" if wide else "", "dim")]),
            (2, [Span(f"◔ {waiting}", "waiting"), Span(" waiting" if wide else "", "dim")]),
            (
                1 if paused else 5,
                [Span(f"‖ {paused}", "paused" if paused else "dim"), Span(" paused" if wide else "", "dim")],
            ),
            (
                1 if failed else 5,
                [Span(f"✗ {failed}", "failed" if failed else "dim"), Span(" failed" if wide else "", "dim")],
            ),
            (
                0,
                [
                    Span(f"↥ {landed}", "done"),
                    Span(" landed", "dim"),
                    Span(f" {count(run.landed_per_hour(now))}/h", "text"),
                ],
            ),
            (3, [Span("err ", "dim"), Span(percent(run.error_rate), "failed" if run.error_rate else "text")]),
            (3, [Span(green, "done" if run.green_at is not None else "dim")]),
            (4, [Span(f"{count(run.usage.input + run.usage.output)}", "text"), Span(" tok", "dim")]),
            (1, [Span(dollars(usd), "text"), Span(rate, "dim")]),
        ]
        while len(groups) > 1 and 1 + sum(width_of(spans) + 3 for _, spans in groups) > cells:
            worst = max(range(len(groups)), key=lambda index: (groups[index][0], index))
            del groups[worst]
        line: list[Span] = [Span(" ")]
        for index, (_, spans) in enumerate(groups):
            line += ([Span(" │ ", "border")] if index else []) + spans
        return tuple(line)


class Footer(StripWidget):
    """The few keys that matter here and now."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.scopes: tuple[str, ...] = ()
        self.context = Context()

    def point(self, scopes: tuple[str, ...], context: Context) -> None:
        """Show the keys of other scopes."""
        self.scopes, self.context = scopes, context
        self.update()

    def lines(self, cells: int) -> list[Line]:
        keymap = self.host.keymap
        spans: list[Span] = [Span(" ")]
        for action in keymap.footer((*self.scopes, "global"), self.context, 8):
            keys = keymap.shown(action.id).split(" ")[0]
            piece = [Span(keys, "accent bold"), Span(f" {action.label}  ", "dim")]
            if width_of([*spans, *piece]) > cells:
                break
            spans += piece
        return [tuple(spans)]


def _ends(left: list[Span], right: list[Span], cells: int) -> Line:
    """Spans at both ends; the left gives way."""
    room = cells - width_of(right)
    line: list[Span] = []
    for one in left:
        if width_of([*line, one]) > room - 1:
            line.append(Span(fit(one.text, max(0, room - 1 - width_of(line))), one.style))
            break
        line.append(one)
    return (*line, Span(" " * max(0, room - width_of(line))), *right)

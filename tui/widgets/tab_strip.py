"""Widgets of one or a few lines, painted at once: the base, the tab strip and the footer."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.format.text import EMPTY, Line, Span, differing, width_of
from tui.input.actions_and_keys import ActionContext
from tui.widgets.actionable import Actionable
from tui.widgets.lines import strip_of


class StripWidget(Actionable, Widget):
    """Paints the lines that `lines(cells)` returns."""

    GROUND: ClassVar[str] = "surface"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._painted: list[Line] = []

    def lines(self, cells: int) -> list[Line]:
        """The lines for a width of `cells`."""
        raise NotImplementedError

    def update(self) -> None:
        """Repaint what changed."""
        before, self._painted = self._painted, self.lines(self.size.width)
        if len(before) != len(self._painted):
            self.refresh()
            return
        for row, (old, new) in enumerate(zip(before, self._painted, strict=True)):
            if old != new:
                start, end = differing(old, new)
                self.refresh(Region(start, row, end - start, 1))

    def render_line(self, y: int) -> Strip:
        cells = self.size.width
        if y == 0:
            self._painted = self.lines(cells)
        line = self._painted[y] if y < len(self._painted) else EMPTY
        return strip_of(line, self.palette, cells, f"on:{self.GROUND}")


class TabStrip(StripWidget):
    """The names of tabs, with the chosen one highlighted. A click chooses a tab."""

    GROUND: ClassVar[str] = "background"

    class Chosen(Message):
        """A person clicked on a tab."""

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


class Footer(StripWidget):
    """The most useful keys of the focused pane."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.scopes: tuple[str, ...] = ()
        self.context = ActionContext()

    def set_scopes(self, scopes: tuple[str, ...], context: ActionContext) -> None:
        """Show the keys of these scopes."""
        self.scopes, self.context = scopes, context
        self.update()

    def lines(self, cells: int) -> list[Line]:
        keymap = self.host.keymap
        spans: list[Span] = [Span(" ")]
        for action, label in keymap.footer((*self.scopes, "global"), self.context):
            keys = keymap.shown(action.id).split(" ")[0]
            piece = [Span(keys, "accent bold"), Span(f" {label}  ", "text" if action.urgent(self.context) else "dim")]
            if width_of([*spans, *piece]) > cells:
                break
            spans += piece
        return [tuple(spans)]

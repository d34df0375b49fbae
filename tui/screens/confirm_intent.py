"""A new intent against the running one, before it applies."""

import difflib
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen

from tui.format.text import Span, clean
from tui.input.handlers import handles
from tui.widgets.actionable import Actionable
from tui.widgets.diff import DiffView
from tui.widgets.header import Header
from tui.widgets.tab_strip import StripWidget


class KeyBar(StripWidget):
    """Keys and what they do, in one line."""

    def __init__(self, keys: tuple[tuple[str, str], ...], *, id: str) -> None:
        super().__init__(id=id)
        self._keys = keys

    def lines(self, cells: int) -> list[tuple[Span, ...]]:
        return [
            tuple(
                span
                for key, label in self._keys
                for span in (Span(f" {key}", "accent bold"), Span(f" {label} ", "dim"))
            )
        ]


def patch_of(old: str, new: str) -> str:
    """What differs between two texts, as a patch of a Markdown file with three lines around each change."""
    lines = difflib.unified_diff(
        clean(old).splitlines(), clean(new).splitlines(), "a/intent.md", "b/intent.md", lineterm="", n=3
    )
    return "".join(f"{line}\n" for line in lines)


class Apply(Actionable, Screen[bool]):
    """Shows what would change; the answer is whether it shall."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,f2", "apply", "Apply"),
        Binding("escape,q", "leave", "Keep editing"),
    ]

    def __init__(self, title: str, old: str, new: str) -> None:
        super().__init__()
        self._heading = title
        self._patch = patch_of(old, new)

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Vertical(id="apply", classes="pane") as pane:
            pane.border_title = Content(clean(self._heading))
            pane.border_subtitle = Content("planners are told; running work goes on")
            yield DiffView(id="apply-diff")
        yield KeyBar(
            (("y", "apply"), ("esc", "keep editing"), ("|", "split"), ("w", "wrap"), ("h l", "hunk")), id="footer"
        )

    def on_mount(self) -> None:
        view = self.query_one(DiffView)
        view.set(self._patch, "Nothing differs but white space.", keep=False)
        view.focus()

    def action_apply(self) -> None:
        self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)

    @handles("list.back")
    def go_back(self) -> None:
        self.dismiss(False)

    def on_diff_view_commented(self, event: DiffView.Commented) -> None:
        """There is nobody to tell: the text is the person's own."""
        event.stop()

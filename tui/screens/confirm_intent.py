"""The screen that shows how a new intent differs from the running one, before it is applied."""

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
    """A line of keys and what they do."""

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
    """A unified diff of two texts, as a patch of a Markdown file."""
    lines = difflib.unified_diff(
        clean(old).splitlines(), clean(new).splitlines(), "a/intent.md", "b/intent.md", lineterm="", n=3
    )
    return "".join(f"{line}\n" for line in lines)


class ConfirmIntent(Actionable, Screen[bool]):
    """Shows the diff. The result is whether to apply it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,f2", "apply", "Apply"),
        Binding("escape,q", "act('list.back')", "Keep editing"),
    ]

    def __init__(self, title: str, old: str, new: str) -> None:
        super().__init__()
        self._heading = title
        self._patch = patch_of(old, new)

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Vertical(id="apply", classes="pane") as pane:
            pane.border_title = Content(clean(self._heading))
            pane.border_subtitle = Content("planners receive it; running work continues")
            yield DiffView(id="apply-diff")
        yield KeyBar(
            (("y", "apply"), ("esc", "keep editing"), ("|", "split"), ("w", "wrap"), ("h l", "hunk")), id="footer"
        )

    def on_mount(self) -> None:
        view = self.query_one(DiffView)
        view.set(self._patch, "Only white space differs.", keep=False)
        view.focus()

    def action_apply(self) -> None:
        self.dismiss(True)

    @handles("list.back")
    def go_back(self) -> None:
        self.dismiss(False)

    def on_diff_view_commented(self, event: DiffView.Commented) -> None:
        """Ignore comments: the author of the text is the person."""
        event.stop()

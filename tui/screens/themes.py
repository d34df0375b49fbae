"""The theme chooser: moving previews a theme, enter uses it, escape restores the previous one."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui.format.text import EMPTY, Line, Span, fit, one_line, wrap
from tui.input.handlers import handles
from tui.style.theme import Palette
from tui.widgets.actionable import Actionable
from tui.widgets.lines import LineView
from tui.widgets.text_view import TextView

_SAMPLES = ("thinking", "acting", "waiting", "paused", "done", "failed", "planner", "accent")


class ThemeList(LineView):
    """All themes, one per line, with colour samples of the one that is previewed."""

    def __init__(self, themes: Sequence[Palette], chosen: str) -> None:
        super().__init__(id="theme-list")
        self._themes = themes
        self._chosen = chosen

    def on_mount(self) -> None:
        self.show()
        self.cursor = next(i for i, theme in enumerate(self._themes) if theme.name == self._chosen)

    @property
    def current(self) -> Palette:
        return self._themes[self.cursor]

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        if old != new:
            self.host.use_theme(self.current.name)

    def line_count(self) -> int:
        return len(self._themes)

    def line(self, index: int, cells: int) -> Line:
        theme = self._themes[index]
        samples = [Span("● ", name) for name in _SAMPLES] if index == self.cursor else [Span("  " * len(_SAMPLES))]
        return (Span(" " + fit(theme.name, 12), "text bold"), *samples, Span(one_line(theme.description), "dim"))


class ChooseTheme(ModalScreen[str], Actionable):
    """The result is the name of the theme to use."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "act('list.back')", "Cancel")]

    def __init__(self, themes: Mapping[str, Palette], chosen: str, broken: Sequence[str]) -> None:
        super().__init__()
        self._themes = list(themes.values())
        self._before = chosen
        self._broken = broken

    def compose(self) -> ComposeResult:
        with Vertical(id="page", classes="low") as box:
            box.border_title = "theme"
            box.border_subtitle = Content("j k preview · enter use · esc cancel")
            yield ThemeList(self._themes, self._before)
            yield TextView(id="theme-notes")

    def on_mount(self) -> None:
        self.query_one(ThemeList).styles.height = min(len(self._themes), 14)
        notes = self.query_one(TextView)
        notes.can_focus = False
        notes.styles.height = len(self._lines(86))
        notes.set(self._lines)
        self.query_one(ThemeList).focus()

    def _lines(self, cells: int) -> list[Line]:
        hint = 'To keep a theme, set theme = "NAME" in config.toml. Put your own in themes/NAME.toml beside it.'
        lines = [EMPTY, *wrap(hint, cells - 2, "dim", first=(Span(" "),), indent=" ")]
        for problem in self._broken:
            lines += wrap(f"invalid: {problem}", cells - 2, "failed", first=(Span(" "),), indent=" ")
        return lines

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        self.dismiss(self.query_one(ThemeList).current.name)

    @handles("list.back")
    def go_back(self) -> None:
        self.dismiss(self._before)

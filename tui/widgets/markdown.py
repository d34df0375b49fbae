"""A Markdown editor in the theme's colours."""

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from tui.format.text import clean
from tui.style.theme import Palette
from tui.widgets.actionable import Actionable

_STYLES = {
    "heading": "keyword bold",
    "heading.marker": "keyword bold",
    "list.marker": "accent",
    "text.literal": "string",
    "punctuation.delimiter": "dim",
    "punctuation.special": "dim",
    "link.label": "function",
    "link.uri": "function underline",
    "string.escape": "dim",
}
MOST = 256 * 1024
"""Characters of the longest text that pasting may produce: a longer one slows the screen, and no model reads it."""
LONGEST = 200_000
"""Characters of the longest text that is highlighted."""


def editor_theme(palette: Palette) -> TextAreaTheme:
    """The palette as a theme for the editor."""
    plain = Style(reverse=True)
    return TextAreaTheme(
        name="swarm",
        base_style=palette.style("on:background text"),
        cursor_style=plain
        if palette.plain
        else palette.style("on:accent") + Style(color=palette.colours["background"]),
        cursor_line_style=Style(),
        selection_style=plain if palette.plain else palette.style("on:cursor text"),
        syntax_styles={name: palette.style(names) for name, names in _STYLES.items()},
    )


class MarkdownEditor(TextArea, Actionable):
    """The editor. It cleans every text before it shows it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+home", "go_to_start", show=False),
        Binding("ctrl+end", "go_to_end", show=False),
    ]

    def __init__(self, text: str, *, id: str) -> None:
        language = "markdown" if len(text) < LONGEST else None
        super().__init__(clean(text), id=id, show_line_numbers=False, soft_wrap=True, language=language)
        self.cursor_blink = False  # each blink repaints, which is slow over a slow connection

    def on_mount(self) -> None:
        self.register_theme(editor_theme(self.palette))
        self.theme = "swarm"

    def on_paste(self, event: events.Paste) -> None:
        text = clean(event.text)
        room = max(0, MOST - len(self.text))
        if len(text) > room:
            self.host.show_note(f"pasted in part: an intent can have at most {MOST:,} characters", error=True)
        event.text = text[:room]

    def action_go_to_start(self) -> None:
        self.move_cursor(self.document.start)

    def action_go_to_end(self) -> None:
        self.move_cursor(self.document.end)

    def replace_all(self, text: str) -> None:
        """Replace the whole text in one step that can be undone."""
        text = clean(text)
        if text != self.text:
            self.replace(text, self.document.start, self.document.end)

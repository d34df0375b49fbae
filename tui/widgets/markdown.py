"""An editor for Markdown in the palette's colours, with undo on keys that every terminal sends."""

from rich.style import Style
from textual import events
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
"""Characters of a text that pasting makes: a larger one would hold up the screen, and no model reads it."""
LONGEST = 200_000
"""Characters of a text that is coloured while it is edited."""


def editor_theme(palette: Palette) -> TextAreaTheme:
    """The palette as the editor knows it."""
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
    """What is put into it is made harmless first, wherever it comes from."""

    def __init__(self, text: str, *, id: str) -> None:
        language = "markdown" if len(text) < LONGEST else None
        super().__init__(clean(text), id=id, show_line_numbers=False, soft_wrap=True, language=language)
        self.cursor_blink = False  # a blink is paint, over slow lines too

    def on_mount(self) -> None:
        self.register_theme(editor_theme(self.palette))
        self.theme = "swarm"

    def on_paste(self, event: events.Paste) -> None:
        text = clean(event.text)
        room = max(0, MOST - len(self.text))
        if len(text) > room:
            self.host.show_note(f"pasted only in part: an intent has {MOST} characters at most", error=True)
        event.text = text[:room]

    def replace_all(self, text: str) -> None:
        """Other text in place of the whole, as one step that can be undone."""
        text = clean(text)
        if text != self.text:
            self.replace(text, self.document.start, self.document.end)

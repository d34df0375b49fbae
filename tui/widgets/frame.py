"""A framed pane whose titles can change without repainting more than their own line."""

from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region

from tui.format.text import clean


class Frame(Vertical):
    """Titles are plain text: they are cleaned and never parsed as markup."""

    DEFAULT_CLASSES = "pane"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._top = self._bottom = Content()
        self._line: Region | None = None

    def set_titles(self, top: Content, bottom: str = "") -> None:
        """Set the titles in the top and bottom border."""
        width = self.outer_size.width
        below = Content(clean(bottom).replace("\n", " "))
        if top != self._top:
            self._top, self._line = top, Region(-1, -1, width, 1)
            self.border_title = top
        if below != self._bottom:
            self._bottom, self._line = below, Region(-1, self.size.height, width, 1)
            self.border_subtitle = below
        self._line = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> "Frame":
        if self._line is not None:
            regions = (self._line,)
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self

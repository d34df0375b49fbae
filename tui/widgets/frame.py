"""A framed pane whose titles can change without repainting more than themselves."""

from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region

from tui.format.text import clean

_AROUND = 4
"""Cells of a corner, a line and two spaces between them and a title."""


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
            cells = max(top.cell_length, self._top.cell_length) + _AROUND
            self._top, self._line = top, Region(-1, -1, min(width, cells), 1)
            self.border_title = top
        if below != self._bottom:
            cells = min(width, max(below.cell_length, self._bottom.cell_length) + _AROUND)
            self._bottom, self._line = below, Region(width - cells - 1, self.size.height, cells, 1)
            self.border_subtitle = below
        self._line = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> "Frame":
        if self._line is not None:
            regions = (self._line,)
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self

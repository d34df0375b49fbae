"""A screen that paints less than Textual's, and sooner: only rows that changed, and at once what a key changed."""

from collections.abc import Iterable

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.screen import Screen, ScreenResultType
from textual.strip import Strip


class PartialUpdate(ChopsUpdate):
    """Sends only the changed cells of each row. Textual's own update begins where the widget does."""

    def render_segments(self, console: Console) -> str:
        pieces: list[str] = []
        for y, left, right in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is not None and x < right and end > left:
                    start = max(x, left)
                    pieces.append(Control.move_to(start, y).segment.text)
                    pieces.append(strip.crop(start - x, min(end, right) - x).render(console))
                    strip._divide_cache.clear()  # an undivided strip holds itself there until garbage is collected
        return "".join(pieces)


class RowCompositor(Compositor):
    """Renders only rows that changed. Textual's own renders all widgets between the first and the last of them."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: set[Region] = set()

    def render_partial_update(self) -> ChopsUpdate | None:
        self._changed = self._dirty_regions.copy()
        try:
            update = super().render_partial_update()
        finally:
            self._changed = set()
        return PartialUpdate(update.chops, update.spans, update.chop_ends) if update is not None else None

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        if not self._changed:
            yield from super()._get_renders(crop)
            return
        for widget, (region, clip) in self.visible_widgets.items():
            visible = clip.intersection(region)
            parts = [part for changed in self._changed if (part := visible.intersection(changed))]
            rows = {row for part in parts for row in part.line_range}
            for first, end in _stretches(rows):
                part = Region(visible.x, first, visible.width, end - first)
                yield region, part, widget.render_lines(part.translate(-region.offset))


def _stretches(rows: set[int]) -> Iterable[tuple[int, int]]:
    """The rows as ranges of neighbours, each as its first row and the row after its last one."""
    for row in sorted(rows):
        if row - 1 not in rows:
            first = row
        if row + 1 not in rows:
            yield first, row + 1


class PaintingScreen(Screen[ScreenResultType]):
    """A screen that can paint without waiting for Textual's next frame."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = RowCompositor()

    def _compositor_refresh(self) -> None:
        """Below a dialog, let the dialog's screen paint what changed, together with its own changes.

        Textual would mark everything that this screen ever painted as changed, each time, and make the dialog's screen
        forget which of its own widgets changed.
        """
        top = self.app.screen
        if self is top:
            super()._compositor_refresh()
            return
        changed = self._compositor._dirty_regions.copy()
        self._compositor._dirty_regions.clear()
        self._dirty_widgets.clear()
        if changed and self in self.app._background_screens and top._compositor.size:
            top._compositor._dirty_regions.update(changed)
            top._compositor.update_widgets(top._dirty_widgets)
            top._compositor_refresh()

    def paint_now(self) -> None:
        """Paint what changed. If the screen has to be laid out first, the next frame does both."""
        if not self.is_current or self._layout_required or self._scroll_required:
            return
        widgets = self._compositor.visible_widgets
        if any(each._layout_required or each._scroll_required or each._refresh_styles_required for each in widgets):
            return
        for widget in widgets:
            if widget._repaint_required:
                widget._repaint_required = False
                self._dirty_widgets.add(widget)
        if self._dirty_widgets:
            self._on_timer_update()

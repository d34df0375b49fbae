"""Shows a patch of any length, unified or split, wrapped or cut. Only visible lines are highlighted."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import BindingType
from textual.message import Message

from tui.bridge import Patch, parse_patch
from tui.format.diff_lines import DiffLines, text_cells
from tui.format.diff_rows import PatchText, Rows, lay_out, line_starts
from tui.format.text import EMPTY, Line, Span
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.widgets.lines import LineView

SPLIT_CELLS = 96
"""Width from which the diff is split, unless the person chose otherwise."""
LEAST_SPLIT = 50
"""Width from which the diff can be split."""
LARGE = 200_000
"""Characters of a patch that is parsed in another thread, so that the screen keeps answering keys."""


class Place(NamedTuple):
    """A line of a changed file. `number` is its line number in the new file, or in the old file for a removed line."""

    path: str
    number: int
    text: str


class DiffView(LineView):
    """The view of a patch."""

    SCOPES: ClassVar[tuple[str, ...]] = ("diff", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("diff")]
    FILE_NAME: ClassVar[str] = "change.diff"

    class Commented(Message):
        """A person wants to comment on a line."""

        def __init__(self, place: Place) -> None:
            super().__init__()
            self.place = place

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._source: str | None = None
        self._take_over(parse_patch(""))
        self._wanted_split: bool | None = None
        self._wrap = False
        self._measuring: tuple[int, bool] | None = None
        self.note = "Reading the workspace…"

    # --- what is shown ----------------------------------------------------------------------------------------

    def set(self, patch: str | None, note: str, *, keep: bool) -> None:
        """Show a patch, or the note if it is empty or None. `keep` the cursor's line in a newer state of a patch."""
        self.note = note
        if patch == self._source and keep:
            if not self.line_count():
                self.show(everything=True)
            return
        self._source = patch
        if len(patch or "") < LARGE:
            self._present(parse_patch(patch or ""), keep)
            return
        if not keep:
            self._present(parse_patch(""), keep)
        self.run_worker(self._read(patch or "", keep), group="patch", exclusive=True)

    async def _read(self, source: str, keep: bool) -> None:
        """Parse and lay out a large patch in another thread, then show it."""
        patch = await asyncio.to_thread(parse_patch, source)
        layouts = {split: await asyncio.to_thread(lay_out, patch, split=split) for split in (False, True)}
        wrapped = (text_cells(self.cells, PatchText(patch).digits, self.split), self.split) if self._wrap else None
        starts: list[int] = []
        if wrapped is not None:
            starts = await asyncio.to_thread(line_starts, layouts[wrapped[1]].rows, PatchText(patch), wrapped[0])
        if source == self._source:
            self._present(patch, keep, layouts, starts, wrapped)

    def _present(
        self,
        patch: Patch,
        keep: bool,
        layouts: dict[bool, Rows] | None = None,
        starts: Sequence[int] = (),
        starts_for: tuple[int, bool] | None = None,
    ) -> None:
        here = self.place if keep else None
        self._take_over(patch, layouts, starts, starts_for)
        self.show(everything=True)
        if not keep:
            self.cursor = 0
            self.scroll_to(y=0, animate=False)
        elif here is not None:
            self._go_to(here)

    def _take_over(
        self,
        patch: Patch,
        layouts: dict[bool, Rows] | None = None,
        starts: Sequence[int] = (),
        starts_for: tuple[int, bool] | None = None,
    ) -> None:
        self._patch = patch
        self._text = PatchText(patch)
        self._layouts = layouts or {}
        self._starts = starts
        self._starts_for = starts_for

    @property
    def split(self) -> bool:
        """Whether old and new lines are side by side."""
        cells = self.cells
        return cells >= SPLIT_CELLS if self._wanted_split is None else self._wanted_split and cells >= LEAST_SPLIT

    @property
    def _rows(self) -> Rows:
        split = self.split
        if split not in self._layouts:
            self._layouts[split] = lay_out(self._patch, split=split)
        return self._layouts[split]

    def copied_text(self) -> str:
        """The whole patch."""
        return self._source or ""

    def empty_line(self, row: int) -> Line:
        return (Span("  " + self.note, "dim"),) if row == 1 else EMPTY

    # --- wrapping: a row takes several lines ------------------------------------------------------------------

    def line_count(self) -> int:
        if not self._wrap:
            return len(self._rows.rows)
        return self._line_starts()[-1]

    def _line_starts(self) -> Sequence[int]:
        """The line that each row begins at, and last the number of lines.

        For a large patch, those of the previous width until the ones of this width are computed.
        """
        wanted = self._wrapped(self.split)
        if wanted == self._starts_for:
            return self._starts
        if self._is_large and self._starts_for is not None and self._starts_for[1] == wanted[1]:
            self._measure(wanted, lambda: None)
            return self._starts
        self._starts = line_starts(self._rows.rows, self._text, wanted[0])
        self._starts_for = wanted
        return self._starts

    def _wrapped(self, split: bool) -> tuple[int, bool]:
        """What the line starts depend on: the width of the text, and whether it is split."""
        return text_cells(self.cells, self._text.digits, split), split

    @property
    def _is_large(self) -> bool:
        return len(self._source or "") >= LARGE

    def _measure(self, wanted: tuple[int, bool], then: Callable[[], None]) -> None:
        """Compute the line starts in another thread, then call `then`, which shows them."""
        if wanted == self._measuring:
            return
        self._measuring = wanted
        patch, text = self._patch, self._text
        rows = self._layouts[wanted[1]].rows

        def take(starts: Sequence[int]) -> None:
            self._starts, self._starts_for = starts, wanted
            then()

        async def measure() -> None:
            starts = await asyncio.to_thread(line_starts, rows, text, wanted[0])
            self._measuring = None
            if patch is self._patch:
                self._lay_out_again(lambda: take(starts))

        self.run_worker(measure())

    def _row_of(self, index: int) -> int:
        return bisect_right(self._line_starts(), index) - 1 if self._wrap else index

    def _first_line(self, row: int) -> int:
        return self._line_starts()[row] if self._wrap else row

    # --- painting ---------------------------------------------------------------------------------------------

    def line(self, index: int, cells: int) -> Line:
        at = self._row_of(index)
        lines = DiffLines(self._text, cells, self.split, self._wrap, self.palette.shades)
        selected = index == self.cursor and self.has_focus
        return lines.line(self._rows.rows[at], index - self._first_line(at), selected=selected)

    # --- places -----------------------------------------------------------------------------------------------

    @property
    def place(self) -> Place | None:
        """The line of a file under the cursor. The row of a hunk or file counts as its first line."""
        rows = self._rows.rows
        if not rows:
            return None
        row = rows[min(self._row_of(self.cursor), len(rows) - 1)]
        file = self._patch.files[row.file]
        if row.kind != "line":
            start = file.hunks[0].new_start if file.hunks else 0
            return Place(file.path, start, "")
        return Place(file.path, row.new_at or row.old_at, self._patch.lines[row.line])

    def _go_to(self, place: Place) -> None:
        """Put the cursor on a place of an older state of the patch, or near it."""
        rows, files = self._rows.rows, self._rows.files
        for start, end in pairwise([*files, len(rows)]):
            if self._patch.files[rows[start].file].path == place.path:
                near = (at for at in range(start, end) if (rows[at].new_at or rows[at].old_at) >= place.number)
                self.cursor = self._first_line(start if not place.text else next(near, end - 1))
                return

    def _jump(self, rows: list[int], forward: bool) -> None:
        here = self._row_of(self.cursor)
        at = bisect_right(rows, here) if forward else bisect_left(rows, here) - 1
        if 0 <= at < len(rows):
            self.cursor = self._first_line(rows[at])
            self.scroll_to(y=self.cursor, animate=False)

    def _lay_out_again(self, change: Callable[[], None] = lambda: None) -> None:
        """Lay out the rows again after `change`. The cursor stays on its line."""
        place, split, row = self.place, self.split, self._row_of(self.cursor)
        change()
        self.show(everything=True)
        if split == self.split and self.line_count():
            self.cursor = self._first_line(row)
        elif place is not None:
            self._go_to(place)
        self.reveal()

    # --- actions ----------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._lay_out_again()

    @handles("diff.split")
    def toggle_split(self) -> None:
        if not self.split and self.cells < LEAST_SPLIT:
            self.host.show_note("split: this pane is too narrow; press + to show it alone")
            return
        self._change(self._wrap, not self.split)

    @handles("diff.wrap")
    def toggle_wrap(self) -> None:
        self._change(not self._wrap, self.split)

    def _change(self, wrap: bool, split: bool) -> None:
        """Switch wrapping and splitting on or off."""

        def change() -> None:
            if split != self.split:
                self._wanted_split = split
            self._wrap = wrap

        wanted = self._wrapped(split)
        if wrap and self._is_large and wanted != self._starts_for:
            self._measure(wanted, change)
        else:
            self._lay_out_again(change)

    @handles("diff.comment")
    def comment(self) -> None:
        if (place := self.place) is not None:
            self.post_message(self.Commented(place))

    @handles("diff.next_hunk")
    def next_hunk(self) -> None:
        self._jump(self._rows.hunks, True)

    @handles("diff.previous_hunk")
    def previous_hunk(self) -> None:
        self._jump(self._rows.hunks, False)

    @handles("diff.next_file")
    def next_file(self) -> None:
        self._jump(self._rows.files, True)

    @handles("diff.previous_file")
    def previous_file(self) -> None:
        self._jump(self._rows.files, False)

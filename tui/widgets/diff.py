"""Shows a patch of any length, unified or split, wrapped or cut. Only visible lines are highlighted."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.message import Message

from tui.bridge import FileDiff, Patch, parse_patch
from tui.format.diff_rows import NONE, PatchText, Row, Rows, lay_out, line_starts, wrapped_parts
from tui.format.text import EMPTY, Line, Span, clean, cut, fit, width_of
from tui.input.handlers import handles
from tui.input.keys_in_force import DEFAULT
from tui.style.syntax import StyledRange
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
        wrapped = (self._text_cells(_digits(patch), self.split), self.split) if self._wrap else None
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
        with self.prevent(self.Moved):
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
        self._hunks = [hunk for file in patch.files for hunk in file.hunks]
        self._digits = _digits(patch)

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
        return self._text_cells(self._digits, split), split

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

    def _text_cells(self, digits: int, split: bool) -> int:
        """Width of a line's text in its column, beside line numbers of that many digits."""
        numbers = digits + 1
        return max(1, (self.cells - 1) // 2 - numbers - 2 if split else self.cells - 2 * numbers - 2)

    # --- painting ---------------------------------------------------------------------------------------------

    def line(self, index: int, cells: int) -> Line:
        at = self._row_of(index)
        row = self._rows.rows[at]
        file = self._patch.files[row.file]
        match row.kind:
            case "file":
                return self._band(file, cells)
            case "note":
                return (Span("   binary file, not shown", "dim"),)
            case "hunk":
                hunk = self._hunks[row.hunk]
                return (Span(f" ⋯ line {hunk.new_start} ", "hunk"), Span(clean(hunk.heading), "dim"))
        part = index - self._first_line(at)
        here = index == self.cursor and self.has_focus
        if not self.split:
            side = "+" if row.new != NONE else "-"
            return (*self._numbers(row, part), *self._side(row, side, part, here))
        left, right = (
            (*self._numbers(row, part, side), *self._side(row, side, part, here, fill=True)) for side in "-+"
        )
        return (*left, Span("│", "border"), *right)

    def _numbers(self, row: Row, part: int, side: str = "") -> Line:
        """Line numbers, on a row's first line only."""
        given = {"-": (row.old_at,), "+": (row.new_at,), "": (row.old_at, row.new_at)}[side]
        shown = "".join(f"{(number if not part else '') or '':>{self._digits}} " for number in given)
        return (Span(shown, "dim"),)

    def _side(self, row: Row, side: str, part: int, here: bool, *, fill: bool = False) -> list[Span]:
        """A row's sign and text on one side; blank if that side has no line."""
        line, cells = (row.old if side == "-" else row.new), self._text_cells(self._digits, self.split)
        if line == NONE:
            return [Span(" " * (cells + 2))]
        context = row.old == row.new
        kind = "" if context else "added" if side == "+" else "removed"
        shades = self.palette.shades
        ground = f" on:{kind}_line" if kind and shades and not here else ""
        base = ("text" if shades or not kind else kind) + ground
        spans = [Span((" " if context else side) + " ", (kind or "dim") + ground)]
        text = self._text.of(line, None if self._wrap else 4 * cells)
        if self._wrap:
            start, end = next((piece for at, piece in enumerate(wrapped_parts(text, cells)) if at == part), (0, 0))
        else:
            start, end = 0, len(text)
        parts = self._text.colours(line, side) if shades or not kind else []
        marks = self._marks(row, side, line)
        styled = list(_styled(text, start, end, base, parts, marks if shades else _reversed(marks)))
        if self._text.lacks_newline(line) and end == len(text):
            styled.append(Span(" ⊘", "dim"))
        spans += cut(styled, cells)
        if (fill or ground) and (left := cells + 2 - width_of(spans)) > 0:
            spans.append(Span(" " * left, base))
        return spans

    def _marks(self, row: Row, side: str, line: int) -> list[StyledRange]:
        if row.old == row.new:
            return []
        if row.pair != NONE:
            old, new = (line, row.pair) if side == "-" else (row.pair, line)
        elif NONE not in (row.old, row.new):
            old, new = row.old, row.new
        else:
            return []
        return self._text.changed(old, new)[side == "+"]

    def _band(self, file: FileDiff, cells: int) -> Line:
        name = file.new_path or file.old_path
        if file.old_path and file.new_path and file.old_path != file.new_path:
            name = f"{file.old_path} → {file.new_path}"
        name = clean(name).replace("\n", "␊")
        added, removed = Span(f" +{file.added}", "added"), Span(f" −{file.removed} ", "removed")
        kind = Span(f" {file.kind}", "dim")
        label = Span(" " + fit(name, min(cell_len(name), max(8, cells - 28))) + " ", "text bold")
        used = width_of((label, kind, added, removed))
        return (label, Span("─" * max(0, cells - used), "border"), kind, added, removed)

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


def _digits(patch: Patch) -> int:
    """How many digits the largest line number has."""
    hunks = (hunk for file in patch.files for hunk in file.hunks)
    last = max((max(h.old_start + h.old_count, h.new_start + h.new_count) for h in hunks), default=0)
    return max(3, len(str(last)))


def _styled(
    text: str, start: int, end: int, base: str, parts: list[StyledRange], marks: list[StyledRange]
) -> Iterator[Span]:
    """The characters from `start` to `end` as spans, one for each change of colour or mark."""
    cuts = {start, end}
    for part in (*parts, *marks):
        cuts |= {at for at in (part.start, part.end) if start < at < end}
    for begin, stop in pairwise(sorted(cuts)):
        style = " ".join(part.style for part in (*parts, *marks) if part.start <= begin < part.end)
        yield Span(text[begin:stop], f"{base} {style}" if style else base)


def _reversed(marks: list[StyledRange]) -> list[StyledRange]:
    return [mark._replace(style="reverse") for mark in marks]

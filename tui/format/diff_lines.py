"""One row of a diff as a line of the screen: a file's or hunk's heading, or code with its line numbers and colours."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from rich.cells import cell_len

from tui.bridge import FileDiff
from tui.format.diff_rows import NONE, PatchText, Row, wrapped_parts
from tui.format.text import Line, Span, clean, cut, fit, width_of
from tui.style.syntax import StyledRange


def text_cells(cells: int, digits: int, split: bool) -> int:
    """Width of a line's text in its column, beside line numbers of that many digits."""
    numbers = digits + 1
    return max(1, (cells - 1) // 2 - numbers - 2 if split else cells - 2 * numbers - 2)


class DiffLines(NamedTuple):
    """The lines of a patch for a view of `cells`. `shades`: the theme has backgrounds for changed code."""

    text: PatchText
    cells: int
    split: bool
    wrap: bool
    shades: bool

    def line(self, row: Row, part: int, *, selected: bool) -> Line:
        """A row, or if it is wrapped, the `part` of it that is on one line."""
        match row.kind:
            case "file":
                return _file_heading(self.text.patch.files[row.file], self.cells)
            case "note":
                return (Span("   binary file, not shown", "dim"),)
            case "hunk":
                hunk = self.text.hunk(row.hunk)
                return (Span(f" ⋯ line {hunk.new_start} ", "hunk"), Span(clean(hunk.heading), "dim"))
        if not self.split:
            side = "+" if row.new != NONE else "-"
            return (*self._numbers(row, part), *self._side(row, side, part, selected))
        left, right = ((*self._numbers(row, part, side), *self._side(row, side, part, selected)) for side in "-+")
        return (*left, Span("│", "border"), *right)

    def _numbers(self, row: Row, part: int, side: str = "") -> Line:
        """Line numbers, on a row's first line only."""
        given = {"-": (row.old_at,), "+": (row.new_at,), "": (row.old_at, row.new_at)}[side]
        shown = "".join(f"{(number if not part else '') or '':>{self.text.digits}} " for number in given)
        return (Span(shown, "dim"),)

    def _side(self, row: Row, side: str, part: int, selected: bool) -> list[Span]:
        """A row's sign and text on one side; blank if that side has no line."""
        line, cells = (row.old if side == "-" else row.new), text_cells(self.cells, self.text.digits, self.split)
        if line == NONE:
            return [Span(" " * (cells + 2))]
        context = row.old == row.new
        kind = "" if context else "added" if side == "+" else "removed"
        background = f" on:{kind}_line" if kind and self.shades and not selected else ""
        base = ("text" if self.shades or not kind else kind) + background
        spans = [Span((" " if context else side) + " ", (kind or "dim") + background)]
        text = self.text.of(line, None if self.wrap else 4 * cells)
        if self.wrap:
            start, end = next((piece for at, piece in enumerate(wrapped_parts(text, cells)) if at == part), (0, 0))
        else:
            start, end = 0, len(text)
        colours = self.text.colours(line, side) if self.shades or not kind else []
        marks = self._marks(row, side, line)
        if not self.shades:
            marks = [mark._replace(style="reverse") for mark in marks]
        styled = list(_styled(text, start, end, base, colours, marks))
        if self.text.lacks_newline(line) and end == len(text):
            styled.append(Span(" ⊘", "dim"))
        spans += cut(styled, cells)
        if (self.split or background) and (left := cells + 2 - width_of(spans)) > 0:
            spans.append(Span(" " * left, base))
        return spans

    def _marks(self, row: Row, side: str, line: int) -> list[StyledRange]:
        """The words that differ from the line's counterpart."""
        if row.old == row.new:
            return []
        if row.pair != NONE:
            old, new = (line, row.pair) if side == "-" else (row.pair, line)
        elif NONE not in (row.old, row.new):
            old, new = row.old, row.new
        else:
            return []
        return self.text.changed(old, new)[side == "+"]


def _file_heading(file: FileDiff, cells: int) -> Line:
    name = file.new_path or file.old_path
    if file.old_path and file.new_path and file.old_path != file.new_path:
        name = f"{file.old_path} → {file.new_path}"
    name = clean(name).replace("\n", "␊")
    added, removed = Span(f" +{file.added}", "added"), Span(f" −{file.removed} ", "removed")
    kind = Span(f" {file.kind}", "dim")
    label = Span(" " + fit(name, min(cell_len(name), max(8, cells - 28))) + " ", "text bold")
    used = width_of((label, kind, added, removed))
    return (label, Span("─" * max(0, cells - used), "border"), kind, added, removed)


def _styled(
    text: str, start: int, end: int, base: str, colours: list[StyledRange], marks: list[StyledRange]
) -> Iterator[Span]:
    """The characters from `start` to `end` as spans, one for each change of colour or mark."""
    ranges = (*colours, *marks)
    cuts = {start, end}
    for each in ranges:
        cuts |= {at for at in (each.start, each.end) if start < at < end}
    for begin, stop in pairwise(sorted(cuts)):
        style = " ".join(each.style for each in ranges if each.start <= begin < each.end)
        yield Span(text[begin:stop], f"{base} {style}" if style else base)

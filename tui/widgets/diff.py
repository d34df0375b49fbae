"""A patch, line by line: files as bands, hunks with line numbers; only what is visible is ever styled."""

from bisect import bisect_left, bisect_right
from typing import ClassVar, NamedTuple

from textual.binding import BindingType

from tui.bridge import FileDiff, Hunk, parse_patch
from tui.keymap import DEFAULT
from tui.text import EMPTY, Line, Span, clean, cut, fit, width_of
from tui.widgets.lines import LineView


class _Row(NamedTuple):
    """`kind`: file, note, hunk, or the patch line's first character; numbers are 0 where a side has no line."""

    kind: str
    at: int
    old: int = 0
    new: int = 0


class DiffView(LineView):
    """A unified patch of any length."""

    SCOPES: ClassVar[tuple[str, ...]] = ("diff", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("diff")]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._source: str | None = None
        self._lines: list[str] = []
        self._files: tuple[FileDiff, ...] = ()
        self._hunks: list[Hunk] = []
        self._rows: list[_Row] = []
        self._file_rows: list[int] = []
        self._hunk_rows: list[int] = []
        self._digits = 3
        self.note = "Reading the copy…"

    def line_count(self) -> int:
        return len(self._rows)

    def taken(self) -> str:
        """The whole patch."""
        return self._source or ""

    def empty_line(self, row: int) -> Line:
        return (Span("  " + self.note, "dim"),) if row == 1 else EMPTY

    def set(self, patch: str | None, note: str, *, keep: bool) -> None:
        """Show a patch; without one (or an empty one) the note says why. `keep`: it is the same thing read again."""
        self.note = note
        if patch == self._source and keep:
            if not self._rows:
                self.show(everything=True)
            return
        self._source = patch
        self._parse(patch or "")
        with self.prevent(self.Moved):
            self.show(everything=True)
            if not keep:
                self.cursor = 0
                self.scroll_to(y=0, animate=False)

    def _parse(self, text: str) -> None:
        patch = parse_patch(text)
        self._lines = text.split("\n")
        self._files = patch.files
        self._rows, self._hunks, self._file_rows, self._hunk_rows = [], [], [], []
        rows = self._rows
        highest = 99
        for number, file in enumerate(patch.files):
            self._file_rows.append(len(rows))
            rows.append(_Row("file", number))
            if file.binary:
                rows.append(_Row("note", number))
            for hunk in file.hunks:
                self._hunk_rows.append(len(rows))
                rows.append(_Row("hunk", len(self._hunks)))
                self._hunks.append(hunk)
                old, new = hunk.old_start, hunk.new_start
                for at in range(hunk.first, hunk.end):
                    first = self._lines[at][:1] if at < len(self._lines) else ""
                    if first == "+":
                        rows.append(_Row("+", at, 0, new))
                        new += 1
                    elif first == "-":
                        rows.append(_Row("-", at, old, 0))
                        old += 1
                    elif first == "\\":
                        rows.append(_Row("\\", at))
                    else:
                        rows.append(_Row(" ", at, old, new))
                        old, new = old + 1, new + 1
                highest = max(highest, old, new)
        self._digits = len(str(highest))

    def line(self, index: int, cells: int) -> Line:
        row = self._rows[index]
        match row.kind:
            case "file":
                return self._band(self._files[row.at], cells)
            case "note":
                return (Span("   binary file: nothing to show", "dim"),)
            case "hunk":
                hunk = self._hunks[row.at]
                return (Span(f" ⋯ line {hunk.new_start} ", "hunk"), Span(hunk.heading, "dim"))
        digits = self._digits
        numbers = f"{row.old or '':>{digits}} {row.new or '':>{digits}} "
        text = clean(self._lines[row.at][1:])
        style = {"+": "added", "-": "removed", "\\": "dim italic"}.get(row.kind, "text")
        return (Span(numbers, "dim"), Span(row.kind + " ", style), *cut((Span(text, style),), cells - 2 * digits - 4))

    def _band(self, file: FileDiff, cells: int) -> Line:
        name = file.new_path or file.old_path
        if file.old_path and file.new_path and file.old_path != file.new_path:
            name = f"{file.old_path} → {file.new_path}"
        added, removed = Span(f" +{file.added}", "added"), Span(f" −{file.removed} ", "removed")
        kind = Span(f" {file.kind}", "dim")
        label = Span(" " + fit(clean(name), min(len(clean(name)), max(8, cells - 28))) + " ", "text bold")
        used = width_of((label, kind, added, removed))
        return (label, Span("─" * max(0, cells - used), "border"), kind, added, removed)

    # --- actions ---------------------------------------------------------------------------------------------

    def _jump(self, rows: list[int], forward: bool) -> None:
        at = bisect_right(rows, self.cursor) if forward else bisect_left(rows, self.cursor) - 1
        if 0 <= at < len(rows):
            self.cursor = rows[at]
            self.scroll_to(y=rows[at], animate=False)

    def do_next_hunk(self) -> None:
        self._jump(self._hunk_rows, True)

    def do_previous_hunk(self) -> None:
        self._jump(self._hunk_rows, False)

    def do_next_file(self) -> None:
        self._jump(self._file_rows, True)

    def do_previous_file(self) -> None:
        self._jump(self._file_rows, False)

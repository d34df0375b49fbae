"""Lays out a patch as rows, split or unified, and pairs each changed line with its replacement."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import accumulate
from typing import NamedTuple

from rich.cells import cell_len

from tui.bridge import FileDiff, Hunk, Patch
from tui.format.text import clean
from tui.style.syntax import CHUNK, Highlighter, StyledRange

NONE = -1
WORDS = re.compile(r"\w+|\s+|[^\w\s]")
LONGEST_COMPARED = 400
"""Characters of the longest line that is compared with its pair word by word."""
LEAST_SIMILAR = 0.4
"""Two lines less similar than this are unrelated: their differences are not marked."""


class Row(NamedTuple):
    """One row. `kind` is file, note, hunk or line.

    For a line, `old` and `new` are indexes into the patch's lines, NONE for a side without a line; `old_at` and
    `new_at` are line numbers in the files. A context line has the same index on both sides. In a unified layout a
    changed line has only one side, and `pair` is the index of its counterpart.
    """

    kind: str
    file: int
    hunk: int = NONE
    old: int = NONE
    new: int = NONE
    old_at: int = 0
    new_at: int = 0
    pair: int = NONE

    @property
    def line(self) -> int:
        """The index of the row's line in the patch; the new side's if there are two."""
        return self.new if self.new != NONE else self.old


class Rows(NamedTuple):
    """All rows of a patch in one layout, and the indexes of those that begin files and hunks."""

    rows: list[Row]
    files: list[int]
    hunks: list[int]


def lay_out(patch: Patch, *, split: bool) -> Rows:
    """The rows of a patch: changed lines side by side (`split`), or removed lines above added ones."""
    rows: list[Row] = []
    files: list[int] = []
    hunks: list[int] = []
    number = 0
    for index, file in enumerate(patch.files):
        files.append(len(rows))
        rows.append(Row("file", index))
        if file.binary:
            rows.append(Row("note", index))
        for hunk in file.hunks:
            hunks.append(len(rows))
            rows.append(Row("hunk", index, number))
            rows += _hunk_rows(patch.lines, index, number, hunk, split)
            number += 1
    return Rows(rows, files, hunks)


def _hunk_rows(lines: tuple[str, ...], file: int, number: int, hunk: Hunk, split: bool) -> Iterator[Row]:
    old_at, new_at = hunk.old_start, hunk.new_start
    removed: list[tuple[int, int]] = []
    added: list[tuple[int, int]] = []

    def block() -> Iterator[Row]:
        """The changed lines gathered so far. The n-th removed line is paired with the n-th added one."""
        pairs = min(len(removed), len(added))
        if split:
            for at in range(max(len(removed), len(added))):
                old, before = removed[at] if at < len(removed) else (NONE, 0)
                new, after = added[at] if at < len(added) else (NONE, 0)
                yield Row("line", file, number, old, new, before, after)
            return
        for at, (old, before) in enumerate(removed):
            yield Row("line", file, number, old=old, old_at=before, pair=added[at][0] if at < pairs else NONE)
        for at, (new, after) in enumerate(added):
            yield Row("line", file, number, new=new, new_at=after, pair=removed[at][0] if at < pairs else NONE)

    for at in range(hunk.first, min(hunk.end, len(lines))):
        sign = lines[at][:1]
        if sign == "-":
            if added:  # a removal after an addition starts a new block
                yield from block()
                removed, added = [], []
            removed.append((at, old_at))
            old_at += 1
        elif sign == "+":
            added.append((at, new_at))
            new_at += 1
        elif sign == "\\":
            continue  # "No newline at end of file" is about the line above: see `lacks_newline`
        else:
            yield from block()
            removed, added = [], []
            yield Row("line", file, number, at, at, old_at, new_at)
            old_at, new_at = old_at + 1, new_at + 1
    yield from block()


def wrapped_parts(text: str, cells: int) -> Iterator[tuple[int, int]]:
    """Start and end of each line when a text is wrapped at `cells`; code may break anywhere."""
    if text.isascii():
        for start in range(0, max(1, len(text)), cells):
            yield start, min(len(text), start + cells)
        return
    start = width = 0
    for at, char in enumerate(text):
        width += cell_len(char)
        if width > cells and at > start:
            yield start, at
            start, width = at, cell_len(char)
    yield start, len(text)


class PatchText:
    """The text of a patch's lines as the screen shows it: cleaned, highlighted, with the changed words marked.

    Each line is computed when it is first shown. `digits` is the width of the line numbers.
    """

    def __init__(self, patch: Patch) -> None:
        self.patch = patch
        self._hunks = [(file, hunk) for file in range(len(patch.files)) for hunk in patch.files[file].hunks]
        self._firsts = [hunk.first for _, hunk in self._hunks]
        self.digits = max(3, len(str(max((_last_number(hunk) for _, hunk in self._hunks), default=0))))
        self._highlighters: dict[tuple[int, str], Highlighter] = {}
        self._ranges: dict[tuple[int, str], list[StyledRange]] = {}
        self._changed: dict[tuple[int, int], tuple[list[StyledRange], list[StyledRange]]] = {}

    def hunk(self, number: int) -> Hunk:
        """A hunk, counted over all files."""
        return self._hunks[number][1]

    def of(self, line: int, longest: int | None = None) -> str:
        """A line without its sign, cut after about `longest` characters."""
        text = self.patch.lines[line][1:]
        return clean(text if longest is None else text[:longest]).replace("\n", " ")

    def lacks_newline(self, line: int) -> bool:
        """Whether this is the file's last line and has no newline."""
        lines = self.patch.lines
        return line + 1 < len(lines) and lines[line + 1].startswith("\\")

    def colours(self, line: int, side: str) -> list[StyledRange]:
        """The highlighted ranges of a line; `side` is + or -."""
        key = (line, side)
        if key not in self._ranges:
            at = bisect_right(self._firsts, line) - 1
            file, hunk = self._hunks[at]
            first = hunk.first + (line - hunk.first) // CHUNK * CHUNK
            chunk = [
                here
                for here in range(first, min(first + CHUNK, hunk.end, len(self.patch.lines)))
                if self.patch.lines[here][:1] not in ("-" if side == "+" else "+", "\\")
            ]
            highlighter = self._highlighter(file, self.patch.files[file], side)
            highlighted = highlighter.highlight([self.of(here, LONGEST_COMPARED) for here in chunk])
            self._ranges.update(((here, side), ranges) for here, ranges in zip(chunk, highlighted, strict=True))
        return self._ranges.get(key, [])

    def _highlighter(self, number: int, file: FileDiff, side: str) -> Highlighter:
        key = (number, side)
        if key not in self._highlighters:
            self._highlighters[key] = Highlighter(file.new_path or file.old_path if side == "+" else file.old_path)
        return self._highlighters[key]

    def changed(self, old: int, new: int) -> tuple[list[StyledRange], list[StyledRange]]:
        """The ranges in which two paired lines differ; none if the lines are not similar enough."""
        key = (old, new)
        if key not in self._changed:
            self._changed[key] = _differences(self.of(old), self.of(new))
        return self._changed[key]


def _last_number(hunk: Hunk) -> int:
    return max(hunk.old_start + hunk.old_count, hunk.new_start + hunk.new_count)


def _differences(old: str, new: str) -> tuple[list[StyledRange], list[StyledRange]]:
    if max(len(old), len(new)) > LONGEST_COMPARED:
        return [], []
    before, after = WORDS.findall(old), WORDS.findall(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < LEAST_SIMILAR:
        return [], []
    gone: list[StyledRange] = []
    came: list[StyledRange] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        _mark(gone, before, i, i_end, "on:removed_word")
        _mark(came, after, j, j_end, "on:added_word")
    return gone, came


def _mark(parts: list[StyledRange], words: list[str], first: int, end: int, style: str) -> None:
    if first < end:
        start = sum(map(len, words[:first]))
        parts.append(StyledRange(start, start + sum(map(len, words[first:end])), style))


def line_starts(rows: list[Row], text: PatchText, cells: int) -> list[int]:
    """The line that each row begins at when texts are wrapped at `cells`, and last the number of lines."""
    return list(accumulate((_height(row, text, cells) for row in rows), initial=0))


def _height(row: Row, text: PatchText, cells: int) -> int:
    if row.kind != "line":
        return 1
    return max(sum(1 for _ in wrapped_parts(text.of(line), cells)) for line in {row.old, row.new} - {NONE})

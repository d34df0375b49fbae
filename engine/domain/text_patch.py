"""Reads a patch as models write it, and makes its changes to a file: where their lines are, whatever its numbers say.

Two forms are read: sections such as `*** Update File: PATH`, and a unified diff. Both have hunks of lines that start
with a space, `-` or `+`.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from engine.domain.os_text import path_text
from engine.domain.patch import unquoted
from engine.domain.text_edits import EditFailed, nearest
from engine.domain.text_file import TextFile

_SECTION = re.compile(r"\*\*\* (Add|Update|Delete) File: (.+)")
_NUMBERS = re.compile(r"@@ -(\d{1,9})(?:,\d+)? \+\d+(?:,\d+)? @@")
_NOTHING = "/dev/null"
_SHOWN = 6
"""Places named if there are several."""
_HUNKS = 500
"""In one file: more are a new file."""
_COMPARED = 5_000_000
"""Lines compared to find one hunk: more mean that its lines say nothing about its place."""


class Hunk(Struct, frozen=True):
    """Lines to find and what replaces them. `anchor` is a line above them, `line` the number of the first one, 0 if it
    is not known; `ended` says whether the last line found, and the last new one, has a line end."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    anchor: str = ""
    line: int = 0
    ended: tuple[bool, bool] = (True, True)


class FilePatch(Struct, frozen=True):
    """What happens to one file; `to` is where it moves, empty if it stays."""

    action: Literal["add", "update", "delete"]
    path: str
    to: str = ""
    hunks: tuple[Hunk, ...] = ()

    @property
    def content(self) -> str:
        """The text of an added file."""
        text = "".join(f"{line}\n" for hunk in self.hunks for line in hunk.new)
        return text if not self.hunks or self.hunks[-1].ended[1] else text[:-1]


def parse(text: str) -> tuple[FilePatch, ...]:
    """The changes in a patch, file by file. Raises EditFailed."""
    found = _Reader(text.replace("\r\n", "\n").split("\n")).files()
    if not found:
        raise EditFailed(
            "the patch names no file: begin each with `*** Update File: PATH`, `*** Add File: PATH` or "
            "`*** Delete File: PATH`"
        )
    return found


def patched(file: TextFile, path: str, hunks: tuple[Hunk, ...], line_end: str) -> TextFile:
    """The file with all hunks. Each replaces exactly its lines, in the one place where they are. Raises EditFailed."""
    lines = file.text.split("\n")
    whole = lines[-1] == ""
    if whole:
        lines.pop()
    if len(hunks) > _HUNKS:
        raise EditFailed(f"the patch has {len(hunks)} hunks for {path}, at most {_HUNKS}: write the whole file")
    numbers = _numbers(lines)
    anchors = _numbers([line.strip() for line in lines]) if any(hunk.anchor for hunk in hunks) else {}
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    places: list[tuple[int, list[str], Hunk]] = []
    after = 0
    for number, hunk in enumerate(hunks, 1):
        old = file.lines_of("\n".join(hunk.old)).split("\n") if hunk.old else []
        try:
            at = _place(file, lines, numbers, anchors, old, hunk, after)
        except EditFailed as failure:
            raise EditFailed(f"hunk {number} of {len(hunks)} in {path} {failure}") from None
        if any(at < start + len(other) and start < at + len(old) for start, other, _ in places):
            raise EditFailed(f"hunk {number} of {len(hunks)} in {path} overlaps one before it")
        places.append((at, old, hunk))
        after = at + len(old)
    for at, old, hunk in sorted(places, key=lambda place: place[0], reverse=True):
        new = file.lines_of("\n".join(hunk.new)).split("\n") if hunk.new else []
        before, instead = "".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new)
        start = starts[at]
        if at + len(old) == len(lines):  # the last line may have no end
            before = before if whole else before[:-1]
            if not hunk.ended[1] or (not whole and hunk.ended[0]):
                instead = instead[:-1]
            if not old and not whole:
                start, instead = start - 1, f"\n{instead}"
        file = file.replace(before, instead, line_end, start)
    return file


_Numbers = Mapping[str, Sequence[int]]
"""The indices of the lines that are equal to each line."""


def _numbers(lines: list[str]) -> _Numbers:
    found: dict[str, list[int]] = {}
    for at, line in enumerate(lines):
        found.setdefault(line, []).append(at)
    return found


def _place(
    file: TextFile, lines: list[str], numbers: _Numbers, anchors: _Numbers, old: list[str], hunk: Hunk, after: int
) -> int:
    """The index of the line at which a hunk applies; `after` is the end of the hunk before it."""
    above = [at + 1 for at in anchors.get(hunk.anchor, ())] if hunk.anchor else []
    if not old:
        if not lines or len(above) == 1:
            return above[0] if lines else 0
        raise EditFailed("has only new lines: add the line above or below them")
    offset, rarest = min(enumerate(old), key=lambda each: len(numbers.get(each[1], ())))
    begins = [at - offset for at in numbers.get(rarest, ()) if at >= offset]
    if len(begins) * len(old) > _COMPARED:
        raise EditFailed("has no line that is rare enough to find its place: add context")
    found = [at for at in begins if lines[at : at + len(old)] == old]
    if not found:
        raise EditFailed(f"does not match: {nearest(file, chr(10).join(old))}")
    if len(found) > 1 and hunk.line:
        distances = sorted((abs(at + 1 - hunk.line), at) for at in found)
        found = [at for distance, at in distances if distance == distances[0][0]]
    if len(found) > 1 and len(above) == 1:
        found = [at for at in found if at >= above[0]][:1] or found
    if len(found) > 1 and len(later := [at for at in found if at >= after]) == 1:
        found = later
    if len(found) > 1:
        places = ", ".join(str(at + 1) for at in found[:_SHOWN])
        raise EditFailed(f"matches {len(found)} places (line {places}): add context, or a line above it after `@@`")
    return found[0]


class _Reader:
    """Goes through the lines of a patch."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0

    def files(self) -> tuple[FilePatch, ...]:
        found = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if section := _SECTION.fullmatch(line.rstrip()):
                found.append(self._section(section[1], section[2]))
            elif line.startswith("diff --git ") or self._starts_diff():
                found.append(self._diff())
            elif line.startswith(("+", "-", "@@")):
                raise self._wrong("belongs to no file")
            else:
                self.at += 1
        return tuple(found)

    def _section(self, action: str, path: str) -> FilePatch:
        self.at += 1
        to = ""
        if self._line().startswith("*** Move to: "):
            to = self._line()[13:].strip()
            self.at += 1
        hunks = [] if action == "Delete" else self._hunks(adds=action == "Add")
        if action == "Update" and not hunks and not to:
            raise EditFailed(f"the patch changes nothing in {path}")
        kind: Literal["add", "update", "delete"] = (
            "add" if action == "Add" else "update" if action == "Update" else "delete"
        )
        return FilePatch(kind, path.strip(), to, tuple(hunks))

    def _diff(self) -> FilePatch:
        """One file of a unified diff; its headers may be incomplete."""
        old = new = ""
        if (git := re.fullmatch(r"diff --git a/(.+) b/(.+)", self._line())) is not None:
            old, new = git[1], git[2]
            self.at += 1
        added = deleted = False
        while self.at < len(self.lines) and not self._line().startswith(("@@", "diff --git ", "*** ")):
            line = self._line()
            if line.startswith("--- "):
                old, added = _side(line[4:], "a/", old), line[4:].split("\t")[0].strip() == _NOTHING or added
            elif line.startswith("+++ "):
                new, deleted = _side(line[4:], "b/", new), line[4:].split("\t")[0].strip() == _NOTHING or deleted
            elif line.startswith("rename from "):
                old = _name(line[12:])
            elif line.startswith("rename to "):
                new = _name(line[10:])
            added = added or line.startswith("new file mode ")
            deleted = deleted or line.startswith("deleted file mode ")
            self.at += 1
        hunks = self._hunks(adds=False)
        if added or deleted:
            return FilePatch("add" if added else "delete", new if added else old, "", tuple(hunks) if added else ())
        if not hunks and old == new:
            raise EditFailed(f"the patch changes nothing in {new or old}")
        return FilePatch("update", old or new, "" if old in ("", new) else new, tuple(hunks))

    def _hunks(self, *, adds: bool) -> list[Hunk]:
        """The hunks up to the next file. `adds`: all lines are new ones, and no line begins a hunk."""
        hunks: list[Hunk] = []
        anchor, number, begun = "", 0, adds
        while self.at < len(self.lines):
            line = self._line()
            if line.startswith("@@"):
                numbers = _NUMBERS.match(line)
                number = int(numbers[1]) if numbers else 0
                anchor = "" if numbers else line[2:].strip().removesuffix("@@")
                begun = True
                self.at += 1
            elif self._is_end():
                break
            elif begun or line[:1] in ("+", "-", " "):
                hunks.append(self._hunk(anchor.strip(), number, adds=adds))
                anchor, number = "", 0
            elif line:
                raise self._wrong("starts with neither a space, `-` nor `+`")
            else:
                self.at += 1
        return hunks

    def _hunk(self, anchor: str, number: int, *, adds: bool) -> Hunk:
        old: list[str] = []
        new: list[str] = []
        ended = (True, True)
        before = ""
        while not self._ends_hunk():
            line = self._line()
            sign, text = line[:1], line[1:]
            if adds and sign not in ("+", "", "\\"):
                raise self._wrong("does not start with `+`")
            if sign == "\\":  # "\ No newline at end of file"
                ended = (ended[0] and before == "+", ended[1] and before == "-")
            elif sign not in ("+", "-", " ", ""):  # of an empty line, the space is often missing
                raise self._wrong("starts with neither a space, `-` nor `+`")
            if sign in ("-", " ", "") and not adds:
                old.append(text)
            if sign in ("+", " ", ""):
                new.append(text)
            before = sign
            self.at += 1
        return Hunk(tuple(old), tuple(new), anchor, number, ended)

    def _ends_hunk(self) -> bool:
        """Whether no line of the hunk is left; empty lines before what follows it do not belong to it."""
        at = self.at
        while self.at < len(self.lines) and not self.lines[self.at]:
            self.at += 1
        over = self.at >= len(self.lines) or self._is_end() or self._line().startswith("@@")
        self.at = at if not over else self.at
        return over

    def _line(self) -> str:
        return self.lines[self.at] if self.at < len(self.lines) else ""

    def _is_end(self) -> bool:
        return self._line().startswith(("*** ", "diff --git ", "```")) or self._starts_diff()

    def _starts_diff(self) -> bool:
        three = [*self.lines[self.at : self.at + 3], "", ""]
        return three[0].startswith("--- ") and three[1].startswith("+++ ") and three[2].startswith("@@")

    def _wrong(self, what: str) -> EditFailed:
        return EditFailed(f"line {self.at + 1} of the patch {what}: {self._line()[:120]!r}")


def _side(name: str, prefix: str, otherwise: str) -> str:
    """The path in a `---` or `+++` line."""
    path = _name(name)
    return otherwise if path == _NOTHING else path.removeprefix(prefix)


def _name(name: str) -> str:
    """A path as git or diff prints it: in quotes if it is odd, or with a time after a tab."""
    name = name.strip()
    return path_text(unquoted(name.encode())) if name.startswith('"') else name.split("\t")[0]

"""Parses a unified git patch into values for a viewer. Never raises; takes time linear in the patch's length."""

import re
from enum import StrEnum

from msgspec import Struct

from engine.domain.os_text import path_text, utf8_text

_HUNK = re.compile(r"^@@ -(\d{1,15})(?:,(\d{1,15}))? \+(\d{1,15})(?:,(\d{1,15}))? @@ ?(.*)$", re.DOTALL)
_NO_FILE = "/dev/null"
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


class FileKind(StrEnum):
    ADDED = "added"
    DELETED = "deleted"
    MODIFIED = "modified"
    RENAMED = "renamed"
    COPIED = "copied"
    MODE = "mode"  # only the mode changed


class Hunk(Struct, frozen=True):
    """A hunk. Line numbers count from 1. `first` and `end` (exclusive) are indexes of the patch's lines, without the
    hunk's header.

    `whole` is False if there are fewer lines than the header says.
    """

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    heading: str
    first: int
    end: int
    added: int
    removed: int
    whole: bool = True


class FileDiff(Struct, frozen=True):
    """The changes of one file. `first` and `end` (exclusive) are indexes of the patch's lines, headers included.

    A path is empty where there is no file. `binary`: git shows no lines, because the file is binary. `old_mode` and
    `new_mode` are octal numbers as git writes them, empty if git does not say.
    """

    old_path: str
    new_path: str
    kind: FileKind
    first: int
    end: int
    hunks: tuple[Hunk, ...] = ()
    added: int = 0
    removed: int = 0
    binary: bool = False
    old_mode: str = ""
    new_mode: str = ""

    @property
    def path(self) -> str:
        return self.new_path or self.old_path


class Patch(Struct, frozen=True):
    """The lines of a patch without line ends (carriage returns stay), and the files in it."""

    lines: tuple[str, ...]
    files: tuple[FileDiff, ...]
    added: int
    removed: int


class _Draft:
    """One file of a patch while it is parsed."""

    def __init__(self, first: int, old_path: str, new_path: str) -> None:
        self.first = first
        self.old_path = old_path
        self.new_path = new_path
        self.kind: FileKind | None = None
        self.hunks: list[Hunk] = []
        self.binary = False
        self.old_mode = ""
        self.new_mode = ""

    def done(self, end: int) -> FileDiff:
        old_path, new_path, kind = self.old_path, self.new_path, self.kind
        if kind is None:
            only_mode = not self.hunks and not self.binary and self.old_mode != self.new_mode
            kind = FileKind.MODE if only_mode else FileKind.MODIFIED
        return FileDiff(
            old_path="" if kind is FileKind.ADDED else old_path,
            new_path="" if kind is FileKind.DELETED else new_path,
            kind=kind,
            first=self.first,
            end=end,
            hunks=tuple(self.hunks),
            added=sum(hunk.added for hunk in self.hunks),
            removed=sum(hunk.removed for hunk in self.hunks),
            binary=self.binary,
            old_mode=self.old_mode,
            new_mode=self.new_mode,
        )


def parse_patch(text: str) -> Patch:
    """Parse a patch. What belongs to no file, such as a commit message, is only in `lines`."""
    lines = text.split("\n")  # not splitlines: form feeds and the like belong to lines
    if lines and not lines[-1]:
        lines.pop()
    files: list[FileDiff] = []
    draft: _Draft | None = None
    at = 0
    while at < len(lines):
        line = lines[at]
        starts = line.startswith("diff --git ")
        bare = not starts and _bare_header(lines, at) and (draft is None or bool(draft.hunks))
        if starts or bare:
            if draft is not None:
                files.append(draft.done(at))
            draft = _Draft(at, *(_paths(line[11:]) if starts else ("", "")))
            at += 0 if bare else 1
            if not bare:
                continue
        if draft is not None and line.startswith("@@ -") and (found := _HUNK.match(line)):
            hunk = _hunk(lines, at + 1, found)
            draft.hunks.append(hunk)
            at = hunk.end
            continue
        if draft is not None and not draft.hunks:
            _header(draft, line)
        at += 1
    if draft is not None:
        files.append(draft.done(len(lines)))
    return Patch(tuple(lines), tuple(files), sum(file.added for file in files), sum(file.removed for file in files))


def _hunk(lines: list[str], first: int, found: re.Match[str]) -> Hunk:
    """Read as many lines as the header says, so that lines that look like headers stay content."""
    old_start, old_count = int(found[1]), 1 if found[2] is None else int(found[2])
    new_start, new_count = int(found[3]), 1 if found[4] is None else int(found[4])
    old_left, new_left = old_count, new_count
    added = removed = 0
    at = first
    while at < len(lines) and (old_left > 0 or new_left > 0):
        sign = lines[at][:1]
        if sign == "+" and new_left > 0:
            added += 1
            new_left -= 1
        elif sign == "-" and old_left > 0:
            removed += 1
            old_left -= 1
        elif sign in (" ", "", "\r") and old_left > 0 and new_left > 0:  # mailers strip a blank line's one space
            old_left -= 1
            new_left -= 1
        elif sign != "\\":
            break
        at += 1
    whole = old_left == 0 and new_left == 0
    while whole and at < len(lines) and lines[at].startswith("\\"):  # "\ No newline at end of file"
        at += 1
    return Hunk(old_start, old_count, new_start, new_count, found[5], first, at, added, removed, whole)


def _header(draft: _Draft, line: str) -> None:
    """Read one line between the start of a file and its first hunk."""
    word, _, rest = line.partition(" ")
    if line.startswith("--- "):
        draft.old_path = _side(rest, "a/", draft.old_path)
        if rest.rstrip("\t") == _NO_FILE:
            draft.kind = FileKind.ADDED
    elif line.startswith("+++ "):
        draft.new_path = _side(rest, "b/", draft.new_path)
        if rest.rstrip("\t") == _NO_FILE:
            draft.kind = FileKind.DELETED
    elif word in ("rename", "copy"):
        draft.kind = FileKind.RENAMED if word == "rename" else FileKind.COPIED
        side, _, name = rest.partition(" ")
        if side == "from":
            draft.old_path = _name(name)
        elif side == "to":
            draft.new_path = _name(name)
    elif line.startswith("new file mode "):
        draft.kind, draft.new_mode = FileKind.ADDED, line[14:].strip()
    elif line.startswith("deleted file mode "):
        draft.kind, draft.old_mode = FileKind.DELETED, line[18:].strip()
    elif line.startswith("old mode "):
        draft.old_mode = line[9:].strip()
    elif line.startswith("new mode "):
        draft.new_mode = line[9:].strip()
    elif line.startswith("index ") and len(words := line.split()) == 3 and not (draft.old_mode or draft.new_mode):
        draft.old_mode = draft.new_mode = words[2]
    elif line.startswith("Binary files ") or line == "GIT binary patch":
        draft.binary = True


def _bare_header(lines: list[str], at: int) -> bool:
    """Whether a file starts here without a `diff --git` line."""
    return (
        lines[at].startswith("--- ")
        and at + 2 < len(lines)
        and lines[at + 1].startswith("+++ ")
        and lines[at + 2].startswith("@@ -")
    )


def _paths(names: str) -> tuple[str, str]:
    """Both names in a `diff --git a/X b/Y` line.

    Unquoted names with spaces are ambiguous unless both are the same. If they differ, other headers name them.
    """
    if names.startswith('"'):
        end = _closing(names)
        return _stripped(_name(names[:end]), "a/"), _stripped(_name(names[end:].strip()), "b/")
    if names.endswith('"') and (start := names.find(' "')) > 0:
        return _stripped(names[:start], "a/"), _stripped(_name(names[start + 1 :]), "b/")
    half = len(names) // 2
    old, new = names[:half], names[half + 1 :]
    if names[half : half + 1] == " " and _stripped(old, "a/") == _stripped(new, "b/"):
        return _stripped(old, "a/"), _stripped(new, "b/")
    old, _, new = names.partition(" b/")
    return _stripped(old, "a/"), new


def _closing(text: str) -> int:
    """The index at which the quoted name at the start of `text` ends."""
    at = 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def _side(rest: str, prefix: str, otherwise: str) -> str:
    """The path in a `---` or `+++` line. Git adds a tab if the path contains a space."""
    name = rest if rest.startswith('"') else rest.partition("\t")[0]
    return otherwise if name == _NO_FILE else _stripped(_name(name.rstrip("\t")), prefix)


def _name(text: str) -> str:
    return path_text(unquoted(utf8_text(text).encode()) if text.startswith('"') else text)


def _stripped(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def unquoted(name: bytes) -> bytes:
    """A name as git prints it, without its C-style quotes, if any."""
    if len(name) < 2 or not (name.startswith(b'"') and name.endswith(b'"')):
        return name
    out = bytearray()
    at, end = 1, len(name) - 1
    while at < end:
        if name[at] != 0x5C or at + 1 >= end:
            out.append(name[at])
            at += 1
            continue
        digits = name[at + 1 : min(at + 4, end)]
        if len(digits) == 3 and all(0x30 <= digit <= 0x37 for digit in digits):
            out.append(int(digits, 8) & 0xFF)
            at += 4
        else:
            out.append(_ESCAPES.get(chr(name[at + 1]), name[at + 1]))
            at += 2
    return bytes(out)

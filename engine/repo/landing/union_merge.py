"""Merges a file to which both sides only added lines, where the order of lines does not matter, by keeping them all.

Which files these are is a setting. Of lines added at the same place, trunk's come first. The conflict goes to an agent
instead if a side changed or removed a line anywhere in the file, or if an addition could get a different meaning by its
place: below another's heading, or inside another's indentation.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

import pathspec

from engine.domain.os_text import path_text
from engine.repo.landing.line_merge import hunks, is_text

HEADING = re.compile(rb"\s*(#|\[[^\]]*\]\s*$|([=~^*+\"-])\2{2,}\s*$)")
"""A line that begins a section in Markdown, reStructuredText, TOML or INI files, or underlines one."""
WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]")


class UnionPaths:
    """The files that may be merged by union: patterns as in a `.gitignore`."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._spec = pathspec.GitIgnoreSpec.from_lines(patterns)

    def __contains__(self, path: bytes) -> bool:
        return self._spec.match_file(path_text(path))


def merge_additions(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """The file with the lines that either side added; None if that is not certain to be right."""
    sides = (base, ours, theirs)
    if not all(map(is_text, sides)):
        return None
    ends = {_line_end(data) for data in sides if b"\n" in data}
    if len(ends) != 1 or (end := ends.pop()) is None:
        return None
    old, trunk, yours = (_complete(data, end) for data in sides)
    our_lines, their_lines = _added(old, trunk, end), _added(old, yours, end)
    if our_lines is None or their_lines is None:
        return None
    merged: list[bytes] = []
    for at, line in enumerate([*_lines(old, end), b""]):
        both = _both(our_lines.get(at, []), their_lines.get(at, []))
        if both is None:
            return None
        merged += [*both, line]
    data = b"".join(merged)
    ended_by = theirs if _is_open(ours, end) == _is_open(base, end) else ours
    return data.removesuffix(end) if _is_open(ended_by, end) else data


def _both(ours: list[bytes], theirs: list[bytes]) -> list[bytes] | None:
    """What two sides added at one place; None if the order could matter."""
    if not ours or not theirs or ours == theirs:
        return ours or theirs
    shared = _shared_headings(ours, theirs)
    ours, theirs = ours[len(shared) :], theirs[len(shared) :]
    if not ours or not theirs:
        return [*shared, *ours, *theirs]
    if any(HEADING.match(line) for line in (*ours, *theirs)) or _indent(ours[0]) != _indent(theirs[0]):
        return None
    if _are_entries((*ours, *theirs)) and ours[-1] != theirs[-1]:  # an equal last line may close both, such as `end`
        theirs = _without(theirs, ours)
    return [*shared, *ours, *theirs]


def _are_entries(lines: Sequence[bytes]) -> bool:
    """Whether each line is an entry of its own: a word in every line, and one indentation."""
    return all(WORD.search(line) for line in lines) and len({_indent(line) for line in lines}) == 1


def _without(lines: list[bytes], known: list[bytes]) -> list[bytes]:
    """The lines that are not known; each known line stands for one of them."""
    left, kept = Counter(known), []
    for line in lines:
        if left[line]:
            left[line] -= 1
        else:
            kept.append(line)
    return kept


def _shared_headings(ours: list[bytes], theirs: list[bytes]) -> list[bytes]:
    """The beginning of both additions up to the last common heading, with the blank lines after it."""
    common = [line for line, _ in takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False))]
    headings = [at for at, line in enumerate(common, 1) if HEADING.match(line)]
    if not headings:
        return []
    return [*common[: headings[-1]], *takewhile(lambda line: not line.strip(), common[headings[-1] :])]


def _indent(line: bytes) -> bytes | None:
    """A line's indentation; None for a blank line."""
    return line[: len(line) - len(line.lstrip())] if line.strip() else None


def _added(old: bytes, new: bytes, end: bytes) -> dict[int, list[bytes]] | None:
    """The added lines by the number of old lines before them; None if a line was changed or removed."""
    lines, found = _lines(new, end), hunks(old, new)
    if any(removed for _, removed, _, _ in found):
        return None
    return {at: lines[start : start + count] for at, _, start, count in found}


def _line_end(data: bytes) -> bytes | None:
    """How all lines end; None if they end differently."""
    crlf = data.count(b"\r\n")
    return b"\n" if not crlf else b"\r\n" if crlf == data.count(b"\n") else None


def _is_open(data: bytes, end: bytes) -> bool:
    """Whether the last line has no end."""
    return bool(data) and not data.endswith(end)


def _complete(data: bytes, end: bytes) -> bytes:
    return data + end if _is_open(data, end) else data


def _lines(data: bytes, end: bytes) -> list[bytes]:
    return [line + end for line in data.split(end)[:-1]]

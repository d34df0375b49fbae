"""Merges the lines of a file without git, if it is certain how git would merge them.

The diff of two texts is certain if, between their common start and their common end, the lines that both have occur
only once in each and in the same order, and if the common start and the common end each have a line that occurs only
once in the older text. Git's histogram diff then matches exactly these lines: it prefers a line that occurs once in the
older text to one that occurs more often, it extends a match as far as possible, and no change can slide, because that
takes a removed or added line that also occurs next to it. Changes of two sides do not conflict if there is a line
between them that neither side changes.
"""

from collections import Counter

import pygit2
from msgspec import Struct
from pygit2.enums import DiffOption

BINARY_PROBE_BYTES = 8_000
"""Git treats a file as binary if there is a zero byte among this many first bytes."""
MAX_BYTES = 1 << 20
"""Larger files are left to git, which is faster for them."""
MERGE_ATTRIBUTES = (b"merge", b"binary", b"[attr]")
"""A `.gitattributes` file without any of these words does not affect how contents are merged."""


class Edit(Struct, frozen=True):
    """The lines from `start` up to `end` are replaced by `lines`."""

    start: int
    end: int
    lines: list[bytes]


def merge_lines(old: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """The content that `git merge` would produce without a conflict; None if it is not certain."""
    if not all(map(is_text, (old, ours, theirs))):
        return None
    lines = _lines(old)
    our_edits, their_edits = find_edits(lines, _lines(ours)), find_edits(lines, _lines(theirs))
    if our_edits is None or their_edits is None:
        return None
    out: list[bytes] = []
    done = -1
    for edit in sorted([*our_edits, *their_edits], key=lambda edit: edit.start):
        if edit.start <= done:
            return None
        out += [*lines[max(done, 0) : edit.start], *edit.lines]
        done = edit.end
    return b"".join([*out, *lines[max(done, 0) :]])


def lie_apart(old: bytes, ours: bytes, theirs: bytes) -> bool:
    """Whether the changes of two sides touch nowhere. Git may still merge them otherwise, if lines are repeated."""
    if not all(map(is_text, (old, ours, theirs))):
        return False
    ends = [(start + removed, start) for start, removed, _, _ in hunks(old, ours)]
    return all(
        start > end or start + removed < begin for start, removed, _, _ in hunks(old, theirs) for end, begin in ends
    )


def is_text(data: bytes) -> bool:
    """Whether a file is small enough to be merged here, and not binary."""
    return len(data) <= MAX_BYTES and b"\0" not in data[:BINARY_PROBE_BYTES]


def hunks(old: bytes, new: bytes) -> list[tuple[int, int, int, int]]:
    """The differences as libgit2 finds them: unchanged old lines before it, removed lines; the same for new lines."""
    patch = pygit2.Patch.create_from(old, new, flag=DiffOption.MINIMAL, context_lines=0, interhunk_lines=0)
    found = patch.hunks if isinstance(patch, pygit2.Patch) else []
    return [
        (
            hunk.old_start - bool(hunk.old_lines),
            hunk.old_lines,
            hunk.new_start - bool(hunk.new_lines),
            hunk.new_lines,
        )
        for hunk in found
    ]


def find_edits(old: list[bytes], new: list[bytes]) -> list[Edit] | None:
    """The edits from `old` to `new`, in order; None if they are not certain."""
    before = _common_start(old, new)
    after = _common_start(old[before:][::-1], new[before:][::-1])
    old_end, new_end = len(old) - after, len(new) - after
    old_counts, new_counts = Counter(old), Counter(new)
    common = [line for line in old[before:old_end] if line in new_counts]
    if common != [line for line in new[before:new_end] if line in old_counts]:
        return None
    if any(old_counts[line] > 1 or new_counts[line] > 1 for line in common):
        return None
    if any(same and all(old_counts[line] > 1 for line in same) for same in (old[:before], old[old_end:])):
        return None
    found: list[Edit] = []
    old_at = new_at = before
    for line in common:
        old_match, new_match = old.index(line, old_at), new.index(line, new_at)
        if (old_match, new_match) != (old_at, new_at):
            found.append(Edit(old_at, old_match, new[new_at:new_match]))
        old_at, new_at = old_match + 1, new_match + 1
    if (old_at, new_at) != (old_end, new_end):
        found.append(Edit(old_at, old_end, new[new_at:new_end]))
    return found


def _lines(data: bytes) -> list[bytes]:
    """Split lines as git does: only at a line feed."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _common_start(one: list[bytes], other: list[bytes]) -> int:
    """The number of equal lines at the start of both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (line, other_line) in pairs if line != other_line), min(len(one), len(other)))

"""Merges the contents of a file without asking git where there is but one way to: changes that lie apart.

What differs between two texts is certain when, of the lines between their common beginning and their common end, those
that both have stand in the same order and only once in each, and beginning and end each hold a line that the older text
has only once. Then git's histogram diff pairs these lines and no others: any other pair is of a line that the older
text has more often, which yields to a line that it has once; a match is extended as far as it goes; and no change can
slide, for that takes a line that goes or comes and stands beside as well. Changes of two sides with a line between
them that neither touches are no conflict.
"""

from collections import Counter

from msgspec import Struct

BINARY_LOOK = 8_000
"""Bytes in which git looks for a zero to tell that a file is no text."""
LARGEST = 1 << 20
"""Bytes of a file that is looked at here; with a larger one git is quicker."""
TELLING = (b"merge", b"binary", b"[attr]")
"""Words without which a `.gitattributes` has no say in how contents are merged."""


class Edit(Struct, frozen=True):
    """The lines from `start` up to `end` are replaced by `lines`."""

    start: int
    end: int
    lines: list[bytes]


def merged(old: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """What `git merge` makes of the three, without a conflict; None where only git can tell."""
    if any(len(data) > LARGEST or b"\0" in data[:BINARY_LOOK] for data in (old, ours, theirs)):
        return None
    lines = _lines(old)
    mine, others = edits(lines, _lines(ours)), edits(lines, _lines(theirs))
    if mine is None or others is None:
        return None
    out: list[bytes] = []
    done = -1
    for edit in sorted([*mine, *others], key=lambda edit: edit.start):
        if edit.start <= done:
            return None
        out += [*lines[max(done, 0) : edit.start], *edit.lines]
        done = edit.end
    return b"".join([*out, *lines[max(done, 0) :]])


def edits(old: list[bytes], new: list[bytes]) -> list[Edit] | None:
    """What makes `new` of `old`, from the beginning on; None where it is not certain."""
    before = _same(old, new)
    after = _same(old[before:][::-1], new[before:][::-1])
    here, there = len(old) - after, len(new) - after
    were, are = Counter(old), Counter(new)
    stay = [line for line in old[before:here] if line in are]
    if stay != [line for line in new[before:there] if line in were]:
        return None
    if any(were[line] > 1 or are[line] > 1 for line in stay):
        return None
    if any(same and all(were[line] > 1 for line in same) for same in (old[:before], old[here:])):
        return None
    found: list[Edit] = []
    was = now = before
    for line in stay:
        at, to = old.index(line, was), new.index(line, now)
        if (at, to) != (was, now):
            found.append(Edit(was, at, new[now:to]))
        was, now = at + 1, to + 1
    return [*found, Edit(was, here, new[now:there])] if (was, now) != (here, there) else found


def _lines(data: bytes) -> list[bytes]:
    """As git counts them: a line ends with a line feed and nothing else."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _same(one: list[bytes], other: list[bytes]) -> int:
    """How many lines are the same at the beginning of both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, others) in pairs if mine != others), min(len(one), len(other)))

"""A three-way merge of lines and of whole trees, simple enough to be obviously correct."""

from collections.abc import Mapping
from difflib import SequenceMatcher

Tree = Mapping[str, bytes]
OURS, MIDDLE, THEIRS = b"<<<<<<< trunk\n", b"=======\n", b">>>>>>> yours\n"


def merge_lines(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """The merge of two changed versions, and whether they conflict. Each conflict gets markers."""
    b, o, t = (text.splitlines(keepends=True) for text in (base, ours, theirs))
    merged: list[bytes] = []
    conflict = False
    at_b = at_o = at_t = 0
    for start_b, start_o, start_t, size in _common(b, o, t):
        old, left, right = b[at_b:start_b], o[at_o:start_o], t[at_t:start_t]
        if left == right or right == old:
            merged += left
        elif left == old:
            merged += right
        else:
            conflict = True
            merged += [OURS, *_ended(left), MIDDLE, *_ended(right), THEIRS]
        merged += b[start_b : start_b + size]
        at_b, at_o, at_t = start_b + size, start_o + size, start_t + size
    return b"".join(merged), conflict


def merge_trees(base: Tree, ours: Tree, theirs: Tree) -> tuple[dict[str, bytes], tuple[str, ...], tuple[str, ...]]:
    """Merge file by file: the tree, the paths that differ from `ours`, and the paths in conflict.

    A file that one side has deleted and the other changed is in conflict, and keeps its changed text.
    """
    merged = dict(ours)
    conflicts = []
    for path in sorted(base.keys() | theirs.keys()):
        old, left, right = base.get(path), ours.get(path), theirs.get(path)
        if right in (old, left):
            continue
        if left == old:
            content = right
        elif left is None or right is None:
            content, conflict = left if right is None else right, True
            conflicts.append(path)
        else:
            content, conflict = merge_lines(old or b"", left, right)
            if conflict:
                conflicts.append(path)
        if content is None:
            del merged[path]
        else:
            merged[path] = content
    paths = tuple(sorted(path for path in merged.keys() | ours.keys() if merged.get(path) != ours.get(path)))
    return merged, paths, tuple(conflicts)


def _common(b: list[bytes], o: list[bytes], t: list[bytes]) -> list[tuple[int, int, int, int]]:
    """Runs of lines that all three share, as (base, ours, theirs, length); the last one is empty."""
    left = SequenceMatcher(None, b, o, autojunk=False).get_matching_blocks()
    right = SequenceMatcher(None, b, t, autojunk=False).get_matching_blocks()
    found = []
    i = j = 0
    while i < len(left) and j < len(right):
        start = max(left[i].a, right[j].a)
        end = min(left[i].a + left[i].size, right[j].a + right[j].size)
        if start < end:
            found.append((start, left[i].b + start - left[i].a, right[j].b + start - right[j].a, end - start))
        if left[i].a + left[i].size < right[j].a + right[j].size:
            i += 1
        else:
            j += 1
    return [*found, (len(b), len(o), len(t), 0)]


def _ended(lines: list[bytes]) -> list[bytes]:
    """The lines with a newline after the last one, so that a marker starts on a line of its own."""
    if lines and not lines[-1].endswith(b"\n"):
        return [*lines[:-1], lines[-1] + b"\n"]
    return lines

"""Shows the regions that a merge has marked in files, with line numbers and a few lines around them."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from engine.domain.answer_text import short_line
from engine.domain.text_file import TextFile

MARKER = "<<<<<<< trunk"
END = ">>>>>>> yours"
AROUND = 3
"""Lines shown before and after a region."""
ROOM = 4_000
"""Characters for all regions together."""
LEAST = 300
"""Characters for one region; so many fewer are shown."""
LINE_SHOWN = 300
LISTED = 10
"""Files, and regions of a file, that are named."""


class Shown(Struct, frozen=True):
    """`whole`: nothing is left out of the regions."""

    text: str = ""
    whole: bool = False


def is_marked(content: bytes) -> bool:
    return bool(_regions(TextFile.read(content).text.split("\n")))


def marked_regions(files: Mapping[str, bytes]) -> Shown:
    """Where each file's marked regions are, and the regions, as many and as much of them as fit into ROOM."""
    heads: list[str] = []
    windows: list[tuple[int, list[str]]] = []
    for path, content in files.items():
        lines = TextFile.read(content).shown.split("\n")
        if not (regions := _regions(lines)):
            continue
        named = [f"{first + 1}–{last + 1}" if last > first else f"{first + 1}" for first, last in regions[:LISTED]]
        more = f" and {len(regions) - LISTED} more" if len(regions) > LISTED else ""
        for first, last in _windows(regions, len(lines)):
            numbered = [f"{at + 1}\t{short_line(lines[at], LINE_SHOWN)}" for at in range(first, last + 1)]
            windows.append((len(heads), numbered))
        heads.append(f"--- {path}: {'line' if named == [f'{regions[0][0] + 1}'] else 'lines'} {', '.join(named)}{more}")
    fitting = _fitting([window for _, window in windows])
    parts = []
    for file, head in enumerate(heads[:LISTED]):
        own = ["\n".join(window) for (of, _), window in zip(windows, fitting, strict=False) if of == file]
        parts += [head, *(["\n…\n".join(own)] if own else [])]
    if len(heads) > LISTED:
        parts.append(f"and {len(heads) - LISTED} more files")
    return Shown("\n".join(parts), fitting == [window for _, window in windows] and len(heads) <= LISTED)


def _regions(lines: Sequence[str]) -> list[tuple[int, int]]:
    """The first and the last line of each region, from 0. One whose end is gone ends where it begins."""
    found: list[tuple[int, int]] = []
    open_at: int | None = None
    for at, line in enumerate(lines):
        if line.startswith(MARKER):
            found.append((at, at))
            open_at = at
        elif open_at is not None and line.startswith(END):
            found[-1] = (open_at, at)
            open_at = None
    return found


def _windows(regions: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The regions with the lines around them; those that meet are one."""
    windows: list[tuple[int, int]] = []
    for first, last in regions:
        start, end = max(0, first - AROUND), min(length - 1, last + AROUND)
        if windows and start <= windows[-1][1] + 1:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def _fitting(windows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The first windows, each with its share of ROOM: what short ones leave goes to longer ones."""
    windows = windows[: ROOM // LEAST]
    sizes = {at: sum(len(line) + 1 for line in window) for at, window in enumerate(windows)}
    room, shares = ROOM, dict[int, int]()
    for left, at in zip(range(len(sizes), 0, -1), sorted(sizes, key=lambda at: sizes[at]), strict=True):
        shares[at] = min(sizes[at], room // left)
        room -= shares[at]
    return [window if sizes[at] <= shares[at] else _cut(window, shares[at]) for at, window in enumerate(windows)]


def _cut(window: Sequence[str], room: int) -> list[str]:
    """The start and the end of a window."""
    first, last = list[str](), list[str]()
    for at in range(len(window)):
        taken, line = (first, window[at // 2]) if at % 2 == 0 else (last, window[-1 - at // 2])
        if (room := room - len(line) - 1) < 0:
            break
        taken.append(line)
    return [*first, f"({len(window) - len(first) - len(last)} lines left out)", *reversed(last)]

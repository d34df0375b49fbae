"""How a long text is shortened for a model: at line ends, with the size of what is left out, which is said once."""

from msgspec import Struct

MOST = 16_000
"""Characters of an answer to a tool call."""
LINE = 2_000
"""Characters of a line in it."""


class Shortened(Struct, frozen=True):
    """The beginning and the end of a text, and how many bytes between them are left out; 0 if `head` is all of it.

    `long`: whether lines in it are shortened.
    """

    head: str
    tail: str = ""
    left_out: int = 0
    long: bool = False

    def told(self, place: str) -> str:
        """The text with what is missing; `place` is the file with all of it, empty if there is none."""
        if self.left_out:
            where = f"; all of it is in {place}" if place else ""
            return f"{_ended(self.head)}[... {self.left_out} bytes left out{where} ...]\n{self.tail}"
        return (
            f"{_ended(self.head)}[long lines are shortened; all of it is in {place}]\n"
            if self.long and place
            else self.head
        )


def room(most: int) -> int:
    """What may be shown if the limit is `most`: to look at a small rest would cost more than to show it."""
    return most + most // 5


def short_line(line: str, most: int = LINE) -> str:
    """The line; if it is too long, its beginning and end, with the number of characters between them."""
    if len(line) <= room(most):
        return line
    head = most * 2 // 3
    return f"{line[:head]}[... {len(line) - most} characters ...]{line[head - most :]}"


def shortened(head: str, tail: str = "", missing: int = 0, most: int = MOST) -> Shortened:
    """A text in about `most` characters. `missing`: the bytes that are already missing between `head` and `tail`."""
    if not missing:
        lines = _lines(head + tail)
        short = [short_line(line) for line in lines]
        long = short != lines
        if sum(map(len, short)) <= room(most):
            return Shortened("".join(short), long=long)
        first = _fitting(short, most // 2)
        last = min(len(short) - first, _fitting(short[::-1], most // 2))
        left_out = sum(map(_size, lines[first : len(lines) - last]))
        return Shortened("".join(short[:first]), "".join(short[len(short) - last :]), left_out, long)
    # What is next to the gap may be a part of a line: it is left out, too, unless there is nothing else.
    starts, ends = _lines(head), _lines(tail)
    starts = starts if head.endswith("\n") else starts[:-1] or [head[:LINE]]
    ends = ends[1:] or [tail[-LINE:]]
    short_starts, short_ends = [short_line(line) for line in starts], [short_line(line) for line in ends]
    first, last = _fitting(short_starts, most // 2), _fitting(short_ends[::-1], most // 2)
    kept = [*starts[:first], *ends[len(ends) - last :]]
    return Shortened(
        "".join(short_starts[:first]),
        "".join(short_ends[len(ends) - last :]),
        max(1, missing + _size(head) + _size(tail) - sum(map(_size, kept))),
        (short_starts, short_ends) != (starts, ends),
    )


def _lines(text: str) -> list[str]:
    """The lines with their ends; only LF ends a line."""
    *lines, last = text.split("\n")
    return [*(f"{line}\n" for line in lines), *([last] if last else [])]


def _fitting(lines: list[str], most: int) -> int:
    """How many of the first lines fit into `most` characters, but at least one."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line)
        if size > most:
            return max(1, count)
    return len(lines)


def _size(text: str) -> int:
    return len(text.encode())


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"

"""Edits of a text file as a model asks for them: all of them, or an error that shows what the file has instead."""

import difflib
from collections import Counter
from itertools import islice

from engine.domain.answer_text import short_line
from engine.domain.text_file import TextFile

SHOWN = 12
"""Lines of the nearest text."""
CANDIDATES = 3_000
"""Lines that are compared letter by letter if none is equal."""
WIDTH = 200
"""Characters of a line that are compared, and shown."""


class EditFailed(Exception):  # noqa: N818 - what the model reads
    """An edit that cannot be made. The message tells the model why."""


def edited(file: TextFile, path: str, old: str, new: str, count: int, line_end: str) -> TextFile:
    """The file with `new` for each `old`, of which there are `count`. Raises EditFailed."""
    if not old:
        raise EditFailed("`old` is empty; to create a file, use `write_file`")
    wanted, instead = file.lines_of(old), file.lines_of(new)
    found = file.text.count(wanted) if wanted else 0
    if not found:
        raise EditFailed(f"`old` does not occur in {path}; {nearest(file, wanted)}")
    if found != count:
        places = ", ".join(map(str, islice(_lines_with(file.text, wanted), SHOWN)))
        raise EditFailed(
            f"`old` occurs {found} times in {path}, not {count} (line {places}): include more of the surrounding text, "
            "or pass the right `count`"
        )
    if wanted == instead:
        if old != new:
            raise EditFailed("edits keep a file's line ends; use a command to convert them")
        raise EditFailed("`old` and `new` are the same")
    return file.replace(wanted, instead, line_end)


def nearest(file: TextFile, wanted: str) -> str:
    """What the file has in place of a text that it lacks, with line numbers."""
    have, want = file.text.split("\n"), wanted.strip("\n").split("\n")
    start = _nearest_line(have, want)
    if start is None:
        return "nothing there is like it"
    here = slice(start, start + len(want))
    spaces = [line.split() for line in have[here]] == [line.split() for line in want]
    shown = file.shown.split("\n")[here]
    lines = [f"{start + number}\t{short_line(line, WIDTH)}" for number, line in enumerate(shown[:SHOWN], 1)]
    cause = "the nearest text differs only in white space" if spaces else "the nearest text is"
    return "\n".join((f"{cause}:", *lines))


def _nearest_line(have: list[str], want: list[str]) -> int | None:
    """The index in `have` at which most lines are those of `want`; else where the longest has the one most like it."""
    places: dict[str, list[int]] = {}
    for at, line in enumerate(have):
        places.setdefault(line.strip(), []).append(at)
    votes: Counter[int] = Counter()
    for number, line in enumerate(map(str.strip, want)):
        if line and len(places.get(line, ())) <= SHOWN:
            votes.update({at - number: len(line) for at in places.get(line, ()) if at >= number})
    if votes:
        return votes.most_common(1)[0][0]
    number, longest = max(enumerate(map(str.strip, want)), key=lambda each: len(each[1]))
    candidates = {line[:WIDTH]: found[0] for line, found in islice(places.items(), CANDIDATES) if line}
    match = difflib.get_close_matches(longest[:WIDTH], candidates, 1)
    return max(0, candidates[match[0]] - number) if match else None


def _lines_with(text: str, wanted: str) -> "list[int]":
    """The numbers of the lines on which a text begins."""
    before, numbers = 1, []
    *parts, _ = text.split(wanted)
    for part in parts:
        before += part.count("\n")
        numbers.append(before)
        before += wanted.count("\n")
    return numbers

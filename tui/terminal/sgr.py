"""Shortens a frame by sending only changes of the style. Rich sends each style in full, and resets it."""

import re
from functools import lru_cache
from typing import NamedTuple

_SGR = re.compile("\x1b\\[([0-9;]*)m")
_MOVES = re.compile("(?:\r?\n|\x1b\\[[0-9;]*H)*")
"""Characters that paint nothing, so that their style does not matter."""
_EXTENDED = {"2": 5, "5": 3}
"""How many parts a colour other than the terminal's 16 has, by its kind."""
_SEEN_ON_BLANKS = {"4", "7", "9", "21", "53"}
"""Underlined, overlined, reversed and struck through: these also show on spaces."""

_WEIGHTS = {"1", "2"}
"""Bold and faint, which one code ends together."""


class _Style(NamedTuple):
    attributes: tuple[str, ...] = ()
    colour: str = "39"
    ground: str = "49"


_PLAIN = _Style()


def shortened(frame: str) -> str:
    """The same picture in fewer characters. A frame has no style at its beginning and end."""
    text, *rest = _SGR.split(frame)
    pieces = [text]
    now = wanted = _PLAIN
    for codes, text in zip(rest[::2], rest[1::2], strict=True):
        wanted = _style(wanted, codes)
        if not text:
            continue
        if wanted is not now and not _MOVES.fullmatch(text):
            target = wanted
            if text.isspace() and not _SEEN_ON_BLANKS.intersection(now.attributes + wanted.attributes):
                target = now._replace(ground=wanted.ground)
            pieces.append(_change(now, target))
            now = target
        pieces.append(text)
    pieces.append(_change(now, _PLAIN))
    return "".join(pieces)


@lru_cache(maxsize=4096)
def _style(before: _Style, codes: str) -> _Style:
    """The style after the codes of one sequence."""
    attributes, colour, ground = before
    parts = codes.split(";")
    while parts:
        part = parts[0] or "0"
        size = _EXTENDED.get(parts[1], 1) if part in ("38", "48") and len(parts) > 1 else 1
        value, parts = ";".join([part, *parts[1:size]]), parts[size:]
        if part == "0":
            attributes, colour, ground = _PLAIN
        elif _is_colour(part, "3", "9"):
            colour = value
        elif _is_colour(part, "4", "10"):
            ground = value
        else:
            attributes = (*attributes, part)
    return _Style(attributes, colour, ground)


def _is_colour(part: str, usual: str, bright: str) -> bool:
    return (len(part) == len(usual) + 1 and part.startswith(usual)) or (
        len(part) == len(bright) + 1 and part.startswith(bright)
    )


@lru_cache(maxsize=4096)
def _change(now: _Style, wanted: _Style) -> str:
    """The sequence that makes one style the other."""
    if now == wanted:
        return ""
    if wanted == _PLAIN:
        return "\x1b[0m"
    codes: list[str] = []
    if gone := set(now.attributes) - set(wanted.attributes):
        if gone <= _WEIGHTS:
            now = now._replace(attributes=tuple(each for each in now.attributes if each not in _WEIGHTS))
            codes = ["22"]
        else:
            now = _PLAIN
            codes = ["0"]
    codes += [attribute for attribute in wanted.attributes if attribute not in now.attributes]
    if now.colour != wanted.colour:
        codes.append(wanted.colour)
    if now.ground != wanted.ground:
        codes.append(wanted.ground)
    return f"\x1b[{';'.join(codes)}m"

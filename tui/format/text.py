"""Text for the terminal: cleans what agents and repositories wrote, measures it in cells, cuts and wraps it.

Everything that a pane paints is a `Line` of spans that passes through `clean`: escape sequences, control characters
and hidden ones become visible, joiners are removed, and nothing is ever parsed as markup.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from rich.cells import cell_len

from tui.bridge import utf8_text

TAB_CELLS = 4


class Span(NamedTuple):
    """Text in one style. `style` is one or more of the theme's names, separated by spaces."""

    text: str
    style: str = ""


Line = tuple[Span, ...]
EMPTY: Line = ()

# Sequences that terminals execute: CSI, then OSC/DCS/SOS/PM/APC up to their terminator, then any other escape.
# An unterminated string command ends with its line, so that it cannot swallow the text that follows.
_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
# Joiners, variation selectors and skin tones, which emoji are made of: terminals disagree about their width.
_JOINERS = re.compile("[\u034f\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")
# Direction marks and overrides, separators, zero-width and tag characters: they reorder the text, or hide in it.
_HIDDEN = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff]")  # regional indicators: some terminals draw a pair as one flag
_HARMLESS = re.compile("[ -~\n]*")
_MARK = "␛"


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"


def clean(text: str) -> str:
    """The text without anything that a terminal would execute. Newlines stay, tabs become spaces."""
    if _HARMLESS.fullmatch(text):
        return text
    text = utf8_text(text).replace("\r\n", "\n").expandtabs(TAB_CELLS)
    text = _SEQUENCES.sub(_MARK, text)
    text = _JOINERS.sub("", text)
    text = _HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)
    text = _CONTROL.sub(_picture, text)
    return _FLAGS.sub(lambda match: chr(ord(match[0]) - 0x1F1E6 + ord("A")), text)


def one_line(text: str) -> str:
    """The cleaned text on one line, with white space collapsed."""
    return " ".join(clean(text).split())


def plain_text(lines: Iterable[Line]) -> str:
    """The lines as text without styles."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def width_of(line: Iterable[Span]) -> int:
    """The width of the line in cells."""
    return sum(cell_len(span.text) for span in line)


def differing(old: Line, new: Line) -> tuple[int, int]:
    """The first cell in which two lines may differ, and the cell after the last one."""
    start = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        start += cell_len(after.text)
    end = width_of(new)
    if (width := width_of(old)) != end:
        return start, max(width, end)
    for before, after in zip(reversed(old), reversed(new), strict=False):
        if before != after or end <= start:
            break
        end -= cell_len(after.text)
    return start, max(start, end)


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """The text in exactly `cells` cells: cut with an ellipsis, or padded with spaces."""
    if cells <= 0:
        return ""
    width = cell_len(text)
    if width > cells:
        text = _head(text, cells - 1) + "…"
        width = cell_len(text)
    fill = " " * (cells - width)
    return fill + text if right else text + fill


def fit_end(text: str, cells: int) -> str:
    """The end of the text in at most `cells` cells, with an ellipsis in front if it is cut."""
    return text if cell_len(text) <= cells else "…" + _head(text[::-1], cells - 1)[::-1]


def cut(line: Iterable[Span], cells: int) -> Line:
    """The line cut to at most `cells` cells."""
    spans: list[Span] = []
    left = cells
    for span in line:
        width = cell_len(span.text)
        if width <= left:
            spans.append(span)
            left -= width
            continue
        if left > 0:
            spans.append(Span(fit(span.text, left), span.style))
        break
    return tuple(spans)


def _head(text: str, cells: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += cell_len(char)
        if taken > cells:
            return text[:index]
    return text


def wrap(text: str, cells: int, style: str = "", *, first: Line = (), indent: str = "") -> Iterator[Line]:
    """The text in lines of at most `cells` cells, broken at spaces where possible.

    `first` starts the first line, `indent` all the others.
    """
    lead: Line = first
    for paragraph in clean(text).split("\n"):
        for piece in _pieces(paragraph, max(8, cells - max(width_of(first), cell_len(indent)))):
            yield (*lead, Span(piece, style))
            lead = (Span(indent),) if indent else ()


def _pieces(paragraph: str, cells: int) -> Iterator[str]:
    if cell_len(paragraph) <= cells:
        yield paragraph
        return
    margin = " " * min(len(paragraph) - len(paragraph.lstrip(" ")), cells // 2)
    breaks = [0, *(match.end() for match in re.finditer(r"\s+", paragraph)), len(paragraph)]
    line = ""
    for start, end in pairwise(breaks):
        word = paragraph[start:end]
        if line.strip() and cell_len(line) + cell_len(word.rstrip()) > cells:
            yield line.rstrip()
            line = margin
        line += word
        while cell_len(line.rstrip()) > cells:
            head = _head(line, cells)
            yield head
            line = margin + line[len(head) :]
    if line.strip():
        yield line.rstrip()

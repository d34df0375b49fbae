"""A shortened frame is the same picture in fewer bytes."""

import random
import re

import pytest

from tui.terminal.sgr import shortened

_TOKEN = re.compile("\x1b\\[([0-9;]*)m|(\x1b\\[[0-9;?]*[A-Za-ln-z])|(.)", re.DOTALL)
_SEEN_ON_BLANKS = {"4", "7", "9"}
COLOURS = ("38;2;1;2;3", "38;2;9;8;7", "38;5;200", "31", "97", "")
GROUNDS = ("48;2;1;2;3", "48;5;17", "41", "107", "")
ATTRIBUTES = ("", "1", "3", "4", "7", "1;4", "2;3;9")
TEXTS = ("a", "bc", " ", "   ", "é漢", "│", "")
MOVES = ("", "", "\x1b[3;4H", "\r\n", "\x1b[2;3H\x1b[6;2H")


def picture(frame: str) -> list[tuple[str, ...]]:
    """Each character with its style, as a terminal would paint it, and everything else as it is."""
    style: tuple[set[str], str, str] = (set(), "", "")
    painted: list[tuple[str, ...]] = []
    for codes, other, character in _TOKEN.findall(frame):
        if character in ("\r", "\n"):
            painted.append((character,))
        elif character:
            attributes, colour, ground = style
            if character.isspace():
                attributes = attributes & _SEEN_ON_BLANKS
                colour = colour if attributes else ""
            painted.append((character, colour, ground, *sorted(attributes)))
        elif other:
            painted.append((other,))
        else:
            style = styled(style, codes)
    assert style == (set(), "", "")
    return painted


def styled(style: tuple[set[str], str, str], codes: str) -> tuple[set[str], str, str]:
    attributes, colour, ground = set(style[0]), style[1], style[2]
    for code in re.findall(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+|\d+", codes or "0"):
        if code == "0":
            attributes, colour, ground = set(), "", ""
        elif code == "22":
            attributes -= {"1", "2"}
        elif re.fullmatch(r"38;.*|3\d|9\d", code):
            colour = code.removesuffix("39")
        elif re.fullmatch(r"48;.*|4\d|10\d", code):
            ground = code.removesuffix("49")
        else:
            attributes.add(code)
    return attributes, colour, ground


@pytest.mark.parametrize("seed", range(200))
def test_a_shortened_frame_paints_the_same(seed: int) -> None:
    rng = random.Random(seed)
    frame = ""
    for _ in range(30):
        codes = ";".join(filter(None, map(rng.choice, (ATTRIBUTES, COLOURS, GROUNDS))))
        text = rng.choice(TEXTS)
        frame += rng.choice(MOVES) + (f"\x1b[{codes}m{text}\x1b[0m" if codes else text)
    short = shortened(frame)
    assert picture(short) == picture(frame)
    assert len(short) <= len(frame)


def test_a_style_is_sent_once_for_neighbours_and_only_what_changes() -> None:
    frame = "\x1b[1;31;44ma\x1b[0m\x1b[1;31;44mb\x1b[0m\x1b[31;44mc\x1b[0m\x1b[32;44md\x1b[0m\x1b[35;44m  \x1b[0me"
    assert shortened(frame) == "\x1b[1;31;44mab\x1b[22mc\x1b[32md  \x1b[0me"


def test_what_is_no_style_passes_unchanged() -> None:
    other = "\x1b[?1049h\x1b]22;default\x07\x1b[?25l\x1b[>1u text \x1b[2;3H"
    assert shortened(other) == other

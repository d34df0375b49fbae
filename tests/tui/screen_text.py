"""What the screen shows, as text: the characters, then how each line is painted, in the theme's names for its colours.

Such a text is the same in every theme, so the tests keep one for each screen and size. A theme may give one colour to
several names; `distinct` makes a theme that doesn't, and what is painted in it tells which name was meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import NamedTuple

from msgspec.structs import replace
from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color

from tui.app import SwarmApp
from tui.style.theme import NAMES, Palette

_ATTRIBUTES = ("bold", "dim", "italic", "underline", "strike", "reverse", "blink")


class Look(NamedTuple):
    """How one character is painted; colours by name, or as #rrggbb."""

    ink: str
    ground: str
    attributes: str

    def __str__(self) -> str:
        ground = "" if self.ground == "background" else f"on:{self.ground}"
        return " ".join(filter(None, (self.ink, self.attributes, ground)))


class Row(NamedTuple):
    """One line of the screen: its characters, and the look of each."""

    text: str
    looks: list[Look]


def rows_of(app: SwarmApp) -> list[Row]:
    """What the screen shows, in the colours that are painted."""
    strips = app.screen._compositor.render_strips()
    assert {strip.cell_length for strip in strips} == {app.size.width}, "a line is not painted to its end"
    return [
        Row(strip.text, [look for text, style, _ in strip for look in [_look(style or Style())] * len(text)])
        for strip in strips
    ]


def _look(style: Style) -> Look:
    attributes = " ".join(name for name in _ATTRIBUTES if getattr(style, name))
    return Look(_colour(style.color), _colour(style.bgcolor), attributes)


def _colour(colour: RichColor | None) -> str:
    if colour is None:
        return "default"
    return colour.name if colour.triplet is None else colour.triplet.hex


def distinct(palettes: Mapping[str, Palette]) -> dict[str, Palette]:
    """The themes with a colour of its own for every name, the same in all."""
    random = Random(0)
    colours = {name: f"#{random.getrandbits(24):06x}" for name in NAMES}
    colours["background"] = "#000000"  # Textual is off by one in some others
    assert len(set(colours_of(Palette("", True, colours)).values())) == len(NAMES) * 2 + 1, "two colours are alike"
    return {name: replace(each, dark=True, terminal=False, colours=colours) for name, each in palettes.items()}


def colours_of(palette: Palette) -> dict[str, str]:
    """All that a theme paints with, by name: its colours, and what the stylesheet and Textual mix from them.

    `below-NAME` is a colour on a screen that lies below a dialog, `input` the ground of a focused input.
    """
    ground, surface, text = (Color.parse(palette.colours[name]) for name in ("background", "surface", "text"))
    mixed = {f"below-{name}": Color.parse(value) + ground.with_alpha(0.6) for name, value in palette.colours.items()}
    del mixed["below-background"]
    mixed["input"] = surface + text.with_alpha(0.05)
    mixed["placeholder"] = mixed["input"] + mixed["input"].get_contrast_text(0.38)
    return palette.colours | {name: colour.hex.lower() for name, colour in mixed.items()}


def named(rows: Sequence[Row], colours: Mapping[str, str], like: Sequence[Row] = ()) -> list[Row]:
    """The same rows with names for colours: where several names fit, the one that stands there in `like`."""
    first: dict[str, str] = {}
    for name, colour in colours.items():
        first.setdefault(colour, name)

    def name_of(colour: str, expected: str) -> str:
        return expected if colours.get(expected) == colour else first.get(colour, colour)

    def look_at(y: int, x: int, look: Look) -> Look:
        known = y < len(like) and x < len(like[y].looks)
        ink, ground, _ = like[y].looks[x] if known else look
        return Look(name_of(look.ink, ink), name_of(look.ground, ground), look.attributes)

    return [Row(text, [look_at(y, x, look) for x, look in enumerate(looks)]) for y, (text, looks) in enumerate(rows)]


def text_of(rows: Sequence[Row]) -> str:
    """The characters, an empty line, then for each line the column where a style begins, and the style.

    Lines in a row that are painted alike share one entry. The ground is given where it isn't `background`.
    """
    text = "".join(f"{row.text.rstrip()}\n" for row in rows)
    styles = ""
    for style, group in groupby(enumerate(map(_styles, rows), 1), key=lambda each: each[1]):
        first, *_, last = [line for line, _ in group] * 2
        styles += f"{first}{f'-{last}' if last > first else ''}: {style}\n"
    return f"{text}\n{styles}"


def _styles(row: Row) -> str:
    return " | ".join(f"{column} {look}".rstrip() for column, look in _runs(row))


def _runs(row: Row) -> Iterator[tuple[int, Look]]:
    """Where each style begins, counted from 1. The ink of blanks can't be seen, so they join what is beside them."""
    run: Look | None = None
    start = 1
    for column, (character, look) in enumerate(zip(row.text, row.looks, strict=True), 1):
        if character == " " and not look.attributes.replace("bold", "").replace("italic", "").strip():
            look = Look("", look.ground, "")
        if run is None or look == run or (look.ground == run.ground and "" in (look.ink, run.ink)):
            run = run if run is not None and not look.ink else look
        else:
            yield start, run
            start, run = column, look
    if run is not None:
        yield start, run

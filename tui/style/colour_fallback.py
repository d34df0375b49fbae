"""Maps a theme's colours to the nearest ones of a terminal with 256 or 16 colours."""

from functools import cache
from itertools import product
from math import atan2, degrees, hypot

_STEPS = (0, 95, 135, 175, 215, 255)
_HUES = {"red": 29, "yellow": 110, "green": 142, "cyan": 195, "blue": 264, "magenta": 328}
"""Hue angles in degrees, of the hues that a terminal has a plain and a bright colour for."""
_GREY = 0.04
"""Distance from the grey axis below which a colour counts as grey."""
_HUE = 2.0
"""Weight of a difference in hue against one in lightness: the colour of a state must stay recognisable."""

Rgb = tuple[int, ...]
Lab = tuple[float, float, float]


@cache
def nearest_of_256(colour: str, *, grey: bool = True) -> str:
    """The nearest of the 256 colours to #rrggbb, as #rrggbb.

    The first sixteen are left out, because each terminal has its own. Without `grey`, so are those without a hue.
    """
    parts = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    candidates = [each for each in product(*map(_around, parts)) if grey or len(set(each)) > 1]
    if grey:
        middle = sum(parts) // 3
        candidates += [(8 + 10 * step,) * 3 for step in range(24) if abs(8 + 10 * step - middle) <= 25]
    wanted = _oklab(parts)
    red, green, blue = min(candidates, key=lambda each: _distance(wanted, _oklab(each)))
    return f"#{red:02x}{green:02x}{blue:02x}"


def nearest_of_16(colour: str, *, dark: bool) -> str:
    """The terminal's own colour for text in #rrggbb, by name. On a light background, unreadable ones are left out."""
    lightness, green_red, blue_yellow = _oklab(tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)))
    if hypot(green_red, blue_yellow) < _GREY:
        if dark:
            return "bright_white" if lightness > 0.97 else "white"
        return "black" if lightness < 0.45 else "bright_black"
    angle = degrees(atan2(blue_yellow, green_red))
    candidates = [hue for hue in _HUES if dark or hue not in ("yellow", "cyan")]
    hue = min(candidates, key=lambda hue: abs((_HUES[hue] - angle + 180) % 360 - 180))
    return f"bright_{hue}" if dark else hue


def _around(part: int) -> tuple[int, int]:
    """The two steps of the colour cube next to a component."""
    below = max(step for step in _STEPS[:-1] if step <= part)
    return below, next(step for step in _STEPS if step > below)


def _distance(one: Lab, other: Lab) -> float:
    lightness, *hue = ((a - b) ** 2 for a, b in zip(one, other, strict=True))
    return lightness + _HUE * sum(hue)


@cache
def _oklab(colour: Rgb) -> Lab:
    """An sRGB colour in Oklab (Ottosson 2020), where equal distances look equal: lightness and two hue axes."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (each / 255 for each in colour)
    )
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )

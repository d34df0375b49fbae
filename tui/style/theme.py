"""Themes: colours read from `themes/*.toml`, checked key by key, and the one that a person chose."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace
from rich.color import ColorSystem
from rich.style import Style

from tui.bridge import ErrorKind, SwarmError
from tui.style.colour_fallback import nearest_of_16, nearest_of_256

COLOURS = (
    "background",  # behind everything
    "surface",  # header, footer, inputs
    "panel",  # the line under the cursor of a pane without focus
    "cursor",  # the line under the cursor of the pane with focus
    "border",
    "focus",  # border and title of the pane with focus
    "text",
    "dim",
    "accent",  # keys, numbers that matter
    "thinking",
    "acting",
    "waiting",
    "paused",
    "done",
    "failed",
    "cancelled",
    "planner",
    "added",
    "removed",
    "hunk",
)
OPTIONAL = {
    # what code is made of, in diffs and in the intent
    "keyword": "planner",
    "string": "done",
    "comment": "dim",
    "number": "accent",
    "function": "thinking",
    "type": "acting",
}
"""More names that a theme may give, and the colour that each has otherwise."""
GROUNDS = {
    "added_line": ("added", 0.13),
    "removed_line": ("removed", 0.13),
    "added_word": ("added", 0.36),
    "removed_word": ("removed", 0.36),
}
"""Grounds of a change, which a theme may give too: otherwise a colour, mixed into the background by a share."""
NAMES = (*COLOURS, *OPTIONAL, *GROUNDS)
TERMINAL = (
    *("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"),
    *(f"bright_{name}" for name in ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")),
)
"""The terminal's own colours: a theme is made of these alone, or of #rrggbb alone."""
PLAIN = {"on:cursor": "reverse", "dim": "dim"}
"""What tells things apart without colour; states have a glyph and a word everywhere."""
SIXTEEN = {
    True: {"background": "black", "surface": "black", "panel": "bright_black", "cursor": "blue"},
    False: {"background": "bright_white", "surface": "bright_white", "panel": "white", "cursor": "bright_cyan"},
}
"""Grounds of dark and of light themes on a terminal of sixteen colours: the nearest ones would not tell them apart."""
_BY_TERM = {"kitty": ColorSystem.EIGHT_BIT, "256color": ColorSystem.EIGHT_BIT}
_KEYS = {"name", "dark", "description", "colours"}
_HEX = re.compile("#[0-9a-fA-F]{6}")


class Palette(Struct, frozen=True):
    """One theme: its name and a colour for each name of `NAMES`.

    `terminal`: it is made of the terminal's own colours. `plain`: nothing is coloured, whatever the theme says.
    """

    name: str
    dark: bool
    colours: dict[str, str]
    description: str = ""
    terminal: bool = False
    plain: bool = False
    _styles: dict[str, Style] = field(default_factory=dict)

    @property
    def shades(self) -> bool:
        """Whether there are shades enough for grounds below coloured text."""
        return not (self.terminal or self.plain)

    def style(self, names: str) -> Style:
        """A style for painted lines from names joined by spaces: colours, `bold`, `italic`, `on:COLOUR`."""
        if (style := self._styles.get(names)) is None:
            style = self._styles[names] = _plain(names) if self.plain else _style(names, self.colours)
        return style


class Themes(NamedTuple):
    """All themes that can be used, by name, the one in use, and what is wrong with those that were left out."""

    all: Mapping[str, Palette]
    chosen: Palette
    broken: tuple[str, ...]


def _plain(names: str) -> Style:
    style = Style()
    for name in names.split():
        if name in PLAIN:
            style += Style.parse(PLAIN[name])
        elif not name.startswith("on:") and name not in NAMES:
            style += Style.parse(name)
    return style


def _style(names: str, of: Mapping[str, str]) -> Style:
    style = Style()
    for name in names.split():
        if name.startswith("on:"):
            style += Style(bgcolor=of[name[3:]])
        elif name in of:
            style += Style(color=of[name])
        else:
            style += Style.parse(name)
    return style


def _problem(where: str, key: str, message: str) -> SwarmError:
    hint = f"a theme gives each of {', '.join(COLOURS)} as #rrggbb, or each as one of the terminal's sixteen"
    return SwarmError(ErrorKind.SETTINGS, f"{where}: {key}: {message}", hint)


def read_theme(text: str, where: str) -> Palette:
    """Parse one theme file. Raises SwarmError (settings) that names the file and the key."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _problem(where, "syntax", str(error)) from error
    for key in raw:
        if key not in _KEYS:
            raise _problem(where, key, "no such key")
    name, dark, colours = raw.get("name"), raw.get("dark", True), raw.get("colours")
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
        raise _problem(where, "name", "must be lower-case letters, digits and dashes")
    if not isinstance(dark, bool):
        raise _problem(where, "dark", "must be true or false")
    description = raw.get("description", "")
    if not isinstance(description, str):
        raise _problem(where, "description", "must be text")
    if not isinstance(colours, dict):
        raise _problem(where, "colours", "must be a table")
    for key in COLOURS:
        if key not in colours:
            raise _problem(where, f"colours.{key}", "is missing")
    terminal = colours["background"] in TERMINAL
    for key, value in colours.items():
        if key not in NAMES:
            raise _problem(where, f"colours.{key}", "no such colour")
        if terminal and value not in TERMINAL:
            raise _problem(where, f"colours.{key}", f"must be one of {', '.join(TERMINAL)}, as background is")
        if not terminal and not (isinstance(value, str) and _HEX.fullmatch(value)):
            raise _problem(where, f"colours.{key}", "must be #rrggbb")
    return Palette(name, dark, _completed(colours, terminal), description, terminal)


def _completed(given: Mapping[str, str], terminal: bool) -> dict[str, str]:
    """A colour for every name: what the theme leaves out is taken from what it gives."""
    colours = {key: given[key] for key in COLOURS}
    colours |= {key: given.get(key, colours[other]) for key, other in OPTIONAL.items()}
    for key, (other, share) in GROUNDS.items():
        mixed = colours["background"] if terminal else _mixed(colours["background"], colours[other], share)
        colours[key] = given.get(key, mixed)
    return colours


def _mixed(ground: str, colour: str, share: float) -> str:
    pairs = ((int(ground[at : at + 2], 16), int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(under + (over - under) * share):02x}" for under, over in pairs)


def _fixed(palette: Palette) -> Palette:
    """The theme in the nearest of 256 colours. Grounds of changed words keep a hue: what else would tell them apart?"""
    colours = {
        name: nearest_of_256(colour, grey=name not in ("added_word", "removed_word"))
        for name, colour in palette.colours.items()
    }
    return replace(palette, colours=colours)


def _sixteen(palette: Palette) -> Palette:
    """The theme in the terminal's own colours: ink by its hue, grounds by what they are for."""
    dark = palette.dark
    colours = {name: nearest_of_16(colour, dark=dark) for name, colour in palette.colours.items()}
    colours |= {**SIXTEEN[dark], "border": "bright_black"}
    colours |= dict.fromkeys(GROUNDS, colours["background"])
    return replace(palette, colours=colours, terminal=True)


def _read_all(files: Iterable[Traversable | Path], broken: list[str]) -> dict[str, Palette]:
    found: dict[str, Palette] = {}
    for file in sorted(files, key=lambda file: file.name):
        try:
            palette = read_theme(file.read_text(encoding="utf-8"), file.name)
        except SwarmError as error:
            broken.append(error.message)
        except (OSError, UnicodeDecodeError) as error:
            broken.append(f"{file.name}: cannot be read: {error}")
        else:
            found[palette.name] = palette
    return found


def load_themes(
    folder: Path | None = None, *, plain: bool = False, few: bool = False, fixed: bool = False
) -> tuple[Mapping[str, Palette], tuple[str, ...]]:
    """All themes, a person's own from `folder` over the bundled ones, and what is wrong with files left out.

    `plain` takes the colour out of all of them; `few` is for a terminal of sixteen colours, `fixed` for one of 256.
    """
    broken: list[str] = []
    bundled = [file for file in resources.files("themes").iterdir() if file.name.endswith(".toml")]
    found = _read_all(bundled, broken)
    if folder is not None and folder.is_dir():
        found |= _read_all(folder.glob("*.toml"), broken)
    if plain:
        found = {name: replace(palette, plain=True) for name, palette in found.items()}
    if few:
        found = {name: palette if palette.terminal else _sixteen(palette) for name, palette in found.items()}
    if fixed:
        found = {name: palette if palette.terminal else _fixed(palette) for name, palette in found.items()}
    return found, tuple(broken)


def choose_theme(name: str, folder: Path | None, environ: Mapping[str, str]) -> Themes:
    """The theme of that name among all, as this terminal can show it. Raises SwarmError (settings)."""
    colours = colours_of(environ)
    few, fixed = colours in (None, ColorSystem.STANDARD), colours is ColorSystem.EIGHT_BIT
    themes, broken = load_themes(folder, plain="NO_COLOR" in environ, few=few, fixed=fixed)
    if name not in themes:
        near = difflib.get_close_matches(name, themes, n=1)
        why = next((f": {text}" for text in broken if text.startswith(f"{name}.toml")), "")
        raise SwarmError(
            ErrorKind.SETTINGS,
            f"no theme named {name}{why}",
            f"did you mean {near[0]}?" if near else f"there are {', '.join(themes)}",
        )
    return Themes(themes, themes[name], broken)


def colours_of(environ: Mapping[str, str]) -> ColorSystem | None:
    """How many colours the terminal has, told as `rich.console` tells it, which takes a while to load."""
    term = environ.get("TERM", "").strip().lower()
    if term in ("dumb", "unknown"):
        return None
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return ColorSystem.TRUECOLOR
    return _BY_TERM.get(term.rpartition("-")[2], ColorSystem.STANDARD)

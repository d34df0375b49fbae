"""Themes: reads and checks `themes/*.toml`, and adapts them to the terminal."""

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
    "accent",  # keys and important numbers
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
    # highlighting of code in diffs and of the intent
    "keyword": "planner",
    "string": "done",
    "comment": "dim",
    "number": "accent",
    "function": "thinking",
    "type": "acting",
}
"""More colours that a theme may define, and the colour that each has otherwise."""
BACKGROUNDS = {
    "added_line": ("added", 0.13),
    "removed_line": ("removed", 0.13),
    "added_word": ("added", 0.36),
    "removed_word": ("removed", 0.36),
}
"""Backgrounds of changed code. A theme may define them; otherwise a share of a colour is mixed into the background."""
NAMES = (*COLOURS, *OPTIONAL, *BACKGROUNDS)
TERMINAL = (
    *("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"),
    *(f"bright_{name}" for name in ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")),
)
"""The terminal's own colours. A theme uses either only these or only #rrggbb."""
PLAIN = {"on:cursor": "reverse", "dim": "dim"}
"""Attributes that replace colours with NO_COLOR. States also have a glyph and a word."""
BACKGROUNDS_OF_16 = {
    True: {"background": "black", "surface": "black", "panel": "bright_black", "cursor": "blue"},
    False: {"background": "bright_white", "surface": "bright_white", "panel": "white", "cursor": "bright_cyan"},
}
"""Backgrounds of dark and light themes on a 16-colour terminal. The nearest colours would all be the same."""
_BY_TERM = {"kitty": ColorSystem.EIGHT_BIT, "256color": ColorSystem.EIGHT_BIT}
_KEYS = {"name", "dark", "description", "colours"}
_HEX = re.compile("#[0-9a-fA-F]{6}")


class Palette(Struct, frozen=True):
    """A theme: its name, and a colour for each of `NAMES`.

    `terminal` says that it uses the terminal's own colours, `plain` that nothing is coloured (NO_COLOR).
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
        """Whether there are enough colours for backgrounds under coloured text."""
        return not (self.terminal or self.plain)

    def style(self, names: str) -> Style:
        """The style for names separated by spaces: colours, `bold`, `italic`, `on:COLOUR`."""
        if (style := self._styles.get(names)) is None:
            style = self._styles[names] = _plain(names) if self.plain else _style(names, self.colours)
        return style


class Themes(NamedTuple):
    """All usable themes by name, the one in use, and the errors of those that cannot be used."""

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
    hint = f"a theme defines {', '.join(COLOURS)}, either all as #rrggbb or all as terminal colours"
    return SwarmError(ErrorKind.SETTINGS, f"{where}: {key}: {message}", hint)


def read_theme(text: str, where: str) -> Palette:
    """Parse a theme file. Raises SwarmError (settings) that names the file and the key."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _problem(where, "syntax", str(error)) from error
    for key in raw:
        if key not in _KEYS:
            raise _problem(where, key, "unknown key")
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
            raise _problem(where, f"colours.{key}", "unknown colour")
        if terminal and value not in TERMINAL:
            raise _problem(where, f"colours.{key}", f"must be one of {', '.join(TERMINAL)}, as background is")
        if not terminal and not (isinstance(value, str) and _HEX.fullmatch(value)):
            raise _problem(where, f"colours.{key}", "must be #rrggbb")
    return Palette(name, dark, _completed(colours, terminal), description, terminal)


def _completed(given: Mapping[str, str], terminal: bool) -> dict[str, str]:
    """A colour for every name. Colours that the theme leaves out are derived from others."""
    colours = {key: given[key] for key in COLOURS}
    colours |= {key: given.get(key, colours[other]) for key, other in OPTIONAL.items()}
    for key, (other, share) in BACKGROUNDS.items():
        mixed = colours["background"] if terminal else _mixed(colours["background"], colours[other], share)
        colours[key] = given.get(key, mixed)
    return colours


def _mixed(ground: str, colour: str, share: float) -> str:
    pairs = ((int(ground[at : at + 2], 16), int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(under + (over - under) * share):02x}" for under, over in pairs)


def _in_256(palette: Palette) -> Palette:
    """The theme in the nearest of 256 colours. Backgrounds of changed words keep their hue to stay distinguishable."""
    colours = {
        name: nearest_of_256(colour, grey=name not in ("added_word", "removed_word"))
        for name, colour in palette.colours.items()
    }
    return replace(palette, colours=colours)


def _in_16(palette: Palette) -> Palette:
    """The theme in the terminal's own colours: text by its hue, backgrounds by their purpose."""
    dark = palette.dark
    colours = {name: nearest_of_16(colour, dark=dark) for name, colour in palette.colours.items()}
    colours |= {**BACKGROUNDS_OF_16[dark], "border": "bright_black"}
    colours |= dict.fromkeys(BACKGROUNDS, colours["background"])
    return replace(palette, colours=colours, terminal=True)


_ADAPTED = {ColorSystem.EIGHT_BIT: _in_256, ColorSystem.STANDARD: _in_16, None: _in_16}


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
    folder: Path | None = None, *, plain: bool = False, colours: ColorSystem | None = ColorSystem.TRUECOLOR
) -> tuple[Mapping[str, Palette], tuple[str, ...]]:
    """All themes, and the errors of files that cannot be used. Themes in `folder` override the bundled ones.

    They are adapted to a terminal with so many `colours`; `plain` removes all of them.
    """
    broken: list[str] = []
    bundled = [file for file in resources.files("themes").iterdir() if file.name.endswith(".toml")]
    found = _read_all(bundled, broken)
    if folder is not None and folder.is_dir():
        found |= _read_all(folder.glob("*.toml"), broken)
    if plain:
        found = {name: replace(palette, plain=True) for name, palette in found.items()}
    if (adapted := _ADAPTED.get(colours)) is not None:
        found = {name: palette if palette.terminal else adapted(palette) for name, palette in found.items()}
    return found, tuple(broken)


def choose_theme(name: str, folder: Path | None, environ: Mapping[str, str]) -> Themes:
    """All themes and the one of that name, adapted to the terminal. Raises SwarmError (settings)."""
    themes, broken = load_themes(folder, plain="NO_COLOR" in environ, colours=colours_of(environ))
    if name not in themes:
        near = difflib.get_close_matches(name, themes, n=1)
        why = next((f": {text}" for text in broken if text.startswith(f"{name}.toml")), "")
        raise SwarmError(
            ErrorKind.SETTINGS,
            f"no theme named {name}{why}",
            f"did you mean {near[0]}?" if near else f"available: {', '.join(themes)}",
        )
    return Themes(themes, themes[name], broken)


def colours_of(environ: Mapping[str, str]) -> ColorSystem | None:
    """How many colours the terminal has. The rules are those of `rich.console`, which is slow to load."""
    term = environ.get("TERM", "").strip().lower()
    if term in ("dumb", "unknown"):
        return None
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return ColorSystem.TRUECOLOR
    return _BY_TERM.get(term.rpartition("-")[2], ColorSystem.STANDARD)

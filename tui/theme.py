"""Themes: colours read from `themes/*.toml`, checked key by key, for the stylesheet and for painted lines."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from msgspec import Struct
from rich.style import Style
from textual.theme import Theme as CssTheme

from tui.bridge import ErrorKind, SwarmError

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
_KEYS = {"name", "dark", "description", "colours"}
_HEX = re.compile("#[0-9a-fA-F]{6}")


class Palette(Struct, frozen=True):
    """One theme: its name and a colour for each name of `COLOURS`."""

    name: str
    dark: bool
    colours: dict[str, str]

    def css(self) -> CssTheme:
        """The theme in the stylesheet's terms; each of our colours is a variable, `$c-NAME`."""
        c = self.colours
        return CssTheme(
            name=self.name,
            dark=self.dark,
            primary=c["focus"],
            secondary=c["planner"],
            accent=c["accent"],
            warning=c["paused"],
            error=c["failed"],
            success=c["done"],
            foreground=c["text"],
            background=c["background"],
            surface=c["surface"],
            panel=c["panel"],
            variables={f"c-{name}": value for name, value in c.items()}
            | {
                "block-cursor-background": c["cursor"],
                "block-cursor-foreground": c["text"],
                "input-cursor-background": c["accent"],
                "scrollbar": c["border"],
                "scrollbar-hover": c["focus"],
                "scrollbar-active": c["focus"],
                "scrollbar-background": c["background"],
                "scrollbar-background-hover": c["background"],
                "scrollbar-background-active": c["background"],
                "scrollbar-corner-color": c["background"],
            },
        )

    def style(self, names: str) -> Style:
        """A style for painted lines from names joined by spaces: colours, `bold`, `italic`, `on:COLOUR`."""
        return _style(self.name, names, tuple(self.colours.items()))


@lru_cache(maxsize=4096)
def _style(theme: str, names: str, colours: tuple[tuple[str, str], ...]) -> Style:
    of = dict(colours)
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
    return SwarmError(
        ErrorKind.SETTINGS, f"{where}: {key}: {message}", f"a theme gives each of {', '.join(COLOURS)} as #rrggbb"
    )


def read_theme(text: str, where: str) -> Palette:
    """Parse one theme file. Raises SwarmError (settings) that names the file and the key."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _problem(where, "syntax", str(error)) from error
    for key in raw:
        if key not in _KEYS:
            raise _problem(where, key, "no such key")
    name, dark, colours = raw.get("name"), raw.get("dark", True), raw.get("colours")
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
        raise _problem(where, "name", "must be lower-case letters, digits and dashes")
    if not isinstance(dark, bool):
        raise _problem(where, "dark", "must be true or false")
    if not isinstance(colours, dict):
        raise _problem(where, "colours", "must be a table")
    for key, value in colours.items():
        if key not in COLOURS:
            raise _problem(where, f"colours.{key}", "no such colour")
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise _problem(where, f"colours.{key}", "must be #rrggbb")
    for key in COLOURS:
        if key not in colours:
            raise _problem(where, f"colours.{key}", "is missing")
    return Palette(name, dark, {key: colours[key] for key in COLOURS})


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


def load_themes(folder: Path | None = None) -> tuple[Mapping[str, Palette], tuple[str, ...]]:
    """All themes, a person's own from `folder` over the bundled ones, and what is wrong with files left out."""
    broken: list[str] = []
    bundled = [file for file in resources.files("themes").iterdir() if file.name.endswith(".toml")]
    found = _read_all(bundled, broken)
    if folder is not None and folder.is_dir():
        found |= _read_all(folder.glob("*.toml"), broken)
    return found, tuple(broken)

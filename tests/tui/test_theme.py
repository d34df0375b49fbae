"""Themes: the bundled ones are complete and readable, broken files are named and skipped."""

from pathlib import Path

import pytest
from textual.color import Color

from tui.bridge import SwarmError
from tui.theme import COLOURS, load_themes, read_theme

GOOD = 'name = "mine"\n[colours]\n' + "\n".join(f'{name} = "#102030"' for name in COLOURS)


def test_a_dark_a_light_and_a_high_contrast_theme_are_bundled() -> None:
    themes, broken = load_themes()
    assert not broken
    assert {"midnight", "daylight", "contrast"} <= set(themes)
    assert themes["midnight"].dark
    assert not themes["daylight"].dark


@pytest.mark.parametrize("name", ["midnight", "daylight", "contrast"])
def test_every_text_colour_stands_out_from_the_background(name: str) -> None:
    palette = load_themes()[0][name]
    ground = Color.parse(palette.colours["background"])
    least = 7.0 if name == "contrast" else 3.9
    for colour in set(COLOURS) - {"background", "surface", "panel", "cursor", "border"}:
        ink = Color.parse(palette.colours[colour])
        light, dark = sorted((_luminance(ink), _luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, f"{name}: {colour}"


def _luminance(colour: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [part / 255 for part in colour.rgb]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("name = ", "syntax"),
        (GOOD.replace("mine", "No Good"), "name"),
        (GOOD.replace('text = "#102030"', 'text = "red"'), "colours.text"),
        (GOOD.replace('text = "#102030"\n', ""), "colours.text"),
        (GOOD + '\nglow = "#102030"', "colours.glow"),
        ("shade = 1\n" + GOOD, "shade"),
        ("dark = 1\n" + GOOD, "dark"),
        ('name = "x"\ncolours = 3', "colours"),
    ],
)
def test_a_broken_theme_is_refused_naming_file_and_key(text: str, key: str) -> None:
    with pytest.raises(SwarmError) as refused:
        read_theme(text, "mine.toml")
    assert f"mine.toml: {key}:" in refused.value.message


def test_a_persons_theme_replaces_a_bundled_one_and_broken_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD.replace("mine", "midnight"))
    (tmp_path / "b.toml").write_text("colours = [")
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    themes, broken = load_themes(tmp_path)
    assert themes["midnight"].colours["text"] == "#102030"
    assert [line.split(":")[0] for line in broken] == ["b.toml", "c.toml"]

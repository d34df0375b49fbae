"""Themes: the bundled ones are complete and readable, broken files are named and skipped."""

from pathlib import Path

import pytest
from rich.color import ColorSystem
from textual.color import Color

from tests.tui.apps import app_on, painted, press, settle, shown_notes
from tests.tui.swarms import small
from tui.bridge import SwarmError
from tui.style.theme import COLOURS, OPTIONAL, TERMINAL, load_themes, read_theme

GOOD = 'name = "mine"\n[colours]\n' + "\n".join(f'{name} = "#102030"' for name in COLOURS)


def test_a_dark_a_light_and_a_high_contrast_theme_are_bundled() -> None:
    themes, broken = load_themes()
    assert not broken
    assert {"midnight", "daylight", "contrast", "bluegold", "sixteen"} <= set(themes)
    assert themes["midnight"].dark
    assert not themes["daylight"].dark


@pytest.mark.parametrize("colours", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT], ids=["all colours", "256 colours"])
@pytest.mark.parametrize("name", ["midnight", "daylight", "contrast", "bluegold"])
def test_every_text_colour_contrasts_with_the_background(name: str, colours: ColorSystem) -> None:
    palette = load_themes(colours=colours)[0][name]
    ground = Color.parse(palette.colours["background"])
    least = 7.0 if name == "contrast" else 3.9
    for colour in set(COLOURS) - {"background", "surface", "panel", "cursor", "border"} | set(OPTIONAL):
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
        ("name = " + "9" * 5_000, "syntax"),
        ("name = " + "[" * 5_000, "syntax"),
        (GOOD.replace("mine", "No Good"), "name"),
        (GOOD.replace('text = "#102030"', 'text = "red"'), "colours.text"),
        (GOOD.replace('text = "#102030"\n', ""), "colours.text"),
        (GOOD + '\nglow = "#102030"', "colours.glow"),
        ("shade = 1\n" + GOOD, "shade"),
        ("dark = 1\n" + GOOD, "dark"),
        ('name = "x"\ncolours = 3', "colours"),
        ("description = 1\n" + GOOD, "description"),
        (GOOD.replace('background = "#102030"', 'background = "black"'), "colours.surface"),
    ],
)
def test_a_broken_theme_is_refused_naming_file_and_key(text: str, key: str) -> None:
    with pytest.raises(SwarmError) as refused:
        read_theme(text, "mine.toml")
    assert f"mine.toml: {key}:" in refused.value.message


def test_a_users_theme_replaces_a_bundled_one_and_broken_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD.replace("mine", "midnight"))
    (tmp_path / "b.toml").write_text("colours = [")
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    themes, broken = load_themes(tmp_path)
    assert themes["midnight"].colours["text"] == "#102030"
    assert [line.split(":")[0] for line in broken] == ["b.toml", "c.toml"]


def red_green_blind(colour: Color) -> tuple[float, float, float]:
    """What a person without green cones sees; Viénot, Brettel and Mollon 1999, linear RGB."""
    red, green, blue = ((part / 255) ** 2.2 for part in colour.rgb)
    mixed = 0.29275 * red + 0.70725 * green
    return mixed, mixed, -0.02234 * red + 0.02234 * green + blue


def test_states_are_distinguishable_without_red_and_green() -> None:
    colours = load_themes()[0]["bluegold"].colours
    for one, other in (("added", "removed"), ("done", "failed"), ("thinking", "failed"), ("done", "paused")):
        a, b = (red_green_blind(Color.parse(colours[name])) for name in (one, other))
        assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) > 0.1, (one, other)


def test_a_theme_of_terminal_colours_uses_nothing_else() -> None:
    palette = load_themes()[0]["sixteen"]
    assert set(palette.colours.values()) <= set(TERMINAL)
    style = palette.style("on:cursor failed bold")
    assert style.color is not None
    assert style.color.is_system_defined


def test_with_256_colours_every_theme_uses_the_nearest_ones_and_backgrounds_differ() -> None:
    steps = (0, 95, 135, 175, 215, 255)
    for palette in load_themes(colours=ColorSystem.EIGHT_BIT)[0].values():
        if palette.terminal:
            continue
        for name, colour in palette.colours.items():
            rgb = Color.parse(colour).rgb
            assert set(rgb) <= set(steps) or (len(set(rgb)) == 1 and rgb[0] % 10 == 8), (palette.name, name)
        grounds = [palette.colours[name] for name in ("background", "cursor", "panel", "added_word", "removed_word")]
        assert len(set(grounds)) == len(grounds), palette.name
    colours = load_themes(colours=ColorSystem.EIGHT_BIT)[0]["midnight"].colours
    assert colours["background"] == "#121212"  # grey is nearer than any hue: a dark blue must not become teal
    assert colours["border"] == colours["cursor"] == "#3a3a3a"
    assert colours["focus"] == "#5fafff"


def test_without_colour_the_cursor_is_reversed_and_nothing_is_coloured() -> None:
    for palette in load_themes(plain=True)[0].values():
        for name in (*COLOURS, *OPTIONAL):
            style = palette.style(f"on:cursor {name} bold")
            assert style.color is None
            assert style.bgcolor is None
            assert style.reverse
            assert style.bold


async def test_themes_are_previewed_while_choosing_and_escape_restores_the_old_one() -> None:
    async with app_on(small()).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "T", "j")
        assert pilot.app.theme == "sixteen"
        assert "terminal's own sixteen" in painted(pilot.app)
        await press(pilot, "escape")
        assert pilot.app.theme == "midnight"
        await press(pilot, "T", "k", "enter")
        assert pilot.app.theme == "daylight"
        assert len(pilot.app.screen_stack) == 2


async def test_a_broken_theme_is_named_when_the_app_opens_and_in_the_list_of_themes(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD.replace('text = "#102030"', 'text = "[/x]red"'))
    themes, broken = load_themes(tmp_path)
    app = app_on(small(), themes=themes, broken_themes=broken)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "mine.toml: colours.text" in shown_notes(app)
        await press(pilot, "T")
        assert "invalid: mine.toml: colours.text" in painted(app)


def test_with_16_colours_every_theme_uses_the_terminals_own_and_backgrounds_and_states_differ() -> None:
    themes, _ = load_themes(colours=ColorSystem.STANDARD)
    for palette in themes.values():
        assert set(palette.colours.values()) <= set(TERMINAL), palette.name
        assert len({palette.colours[name] for name in ("background", "panel", "cursor")}) == 3, palette.name
        ink = {palette.colours[name] for name in COLOURS if name not in ("background", "surface", "panel", "cursor")}
        assert not ink & {palette.colours[name] for name in ("background", "cursor")}, palette.name
        assert len({palette.colours[name] for name in ("done", "failed", "planner")}) == 3, palette.name
    assert themes["midnight"].colours["done"] == "bright_green"
    assert themes["daylight"].colours["failed"] == "red"
    assert themes["daylight"].colours["text"] == "black"
    assert themes["bluegold"].colours["done"] == "bright_blue"

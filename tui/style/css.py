"""Converts a theme for Textual and `swarm.tcss`."""

from textual.theme import Theme

from tui.style.theme import Palette


def css_theme(palette: Palette) -> Theme:
    """The theme for Textual. Each of its colours is also a variable of the stylesheet, `$c-NAME`."""
    mark = "ansi_" if palette.terminal else ""
    c = {name: mark + value for name, value in palette.colours.items()}
    return Theme(
        name=palette.name,
        dark=palette.dark,
        ansi=palette.terminal,
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
            "input-cursor-foreground": c["background"],
            "input-selection-background": c["cursor"],
            "input-selection-foreground": c["text"],
            "screen-selection-background": c["cursor"],
            "screen-selection-foreground": c["text"],
            "ansi-background": c["background"],
            "ansi-foreground": c["text"],
            "scrollbar": c["border"],
            "scrollbar-hover": c["focus"],
            "scrollbar-active": c["focus"],
            "scrollbar-background": c["background"],
            "scrollbar-background-hover": c["background"],
            "scrollbar-background-active": c["background"],
            "scrollbar-corner-color": c["background"],
        },
    )

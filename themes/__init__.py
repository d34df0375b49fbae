"""Colour themes of the screen, one TOML file each; loaded by tui.style.theme."""

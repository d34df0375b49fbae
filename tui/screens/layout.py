"""The names of the panes, and which of them are shown at which size of the terminal."""

from enum import StrEnum
from typing import NamedTuple


class Pane(StrEnum):
    AGENTS = "agents"
    DETAIL = "detail"
    HANDOFFS = "handoffs"
    EVENTS = "events"
    RESOURCES = "resources"


PANES = list(Pane)
"""All panes in the order of their numbers, which start at 1."""


class Layout(NamedTuple):
    """`name` is a class in the stylesheet. `one`: only one pane is shown, with tabs for the others."""

    name: str
    one: bool


TOO_SMALL = Layout("tiny", True)
ONE = Layout("one", True)
SPLIT = Layout("split", False)
WIDE = Layout("wide", False)
_SMALLEST = (60, 15)
_SPLIT = (100, 30)
_WIDE = (170, 44)


def layout_for(width: int, height: int, zoomed: bool) -> Layout:
    """The layout for a terminal of this width and height in cells."""
    if width < _SMALLEST[0] or height < _SMALLEST[1]:
        return TOO_SMALL
    if zoomed or width < _SPLIT[0] or height < _SPLIT[1]:
        return ONE
    return WIDE if width >= _WIDE[0] and height >= _WIDE[1] else SPLIT

"""One event as the screen keeps it, and how much it matters to a person."""

from enum import StrEnum
from typing import get_args

from msgspec import Struct

from tui.bridge import AgentId, Body, Micros, TaskId


class Tone(StrEnum):
    """How much an event matters to a person; the theme gives each a colour. What is routine shows on request only."""

    ROUTINE = "routine"
    QUIET = "quiet"
    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


EVENT_KINDS = tuple(str(kind.__struct_config__.tag) for kind in get_args(Body))
"""The kinds of events, as the journal names them."""


class EventLine(Struct, frozen=True):
    """One event as the screen keeps it: short text instead of a body of any size."""

    seq: int
    at: Micros
    kind: str
    tone: Tone
    text: str
    agent: AgentId | None = None
    task: TaskId | None = None

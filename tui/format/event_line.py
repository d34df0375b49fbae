"""One event as the screen keeps it, and how important it is."""

from enum import StrEnum
from typing import get_args

from msgspec import Struct

from tui.bridge import AgentId, Body, Micros, TaskId


class Tone(StrEnum):
    """How important an event is; each has a colour in the theme. Routine events show only on request."""

    ROUTINE = "routine"
    QUIET = "quiet"
    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


EVENT_KINDS = tuple(str(kind.__struct_config__.tag) for kind in get_args(Body))
"""The kinds of events, named as in the journal."""


class EventLine(Struct, frozen=True):
    """One event as the screen keeps it: a short text, whatever the size of the event's body."""

    seq: int
    at: Micros
    kind: str
    tone: Tone
    text: str
    agent: AgentId | None = None
    task: TaskId | None = None

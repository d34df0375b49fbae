"""The bounds of values that come from models, people and sockets: a value beyond its bound is refused where it arrives.

The bounds are generous: they keep out what cannot be stored or shown, not what is unusual.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

LARGEST = 2**63 - 1
"""SQLite's largest integer."""

Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
WorkerCount = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
LineNumber = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Lines = Annotated[int, Meta(ge=0, le=1_000)]
Times = Annotated[int, Meta(ge=1, le=1_000_000)]
Depth = Annotated[int, Meta(ge=1, le=1_000)]
Position = Annotated[int, Meta(ge=0, le=LARGEST)]
"""A place in the order of a run's events."""

Seconds = Annotated[float, Meta(ge=0, le=1_000_000_000)]

Name = Annotated[str, Meta(max_length=1_000)]
"""A title, an id, or a short pattern."""
Path = Annotated[str, Meta(max_length=4 * 4_096)]
"""A path in the repository, as long as Linux accepts, even if each byte is written as an escape."""
NoteNumber = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Reason = Annotated[str, Meta(max_length=8_000)]
Instruction = Annotated[str, Meta(max_length=1_000_000)]
"""What an agent is asked to do, or told."""
ShellCommand = Annotated[str, Meta(max_length=130_000)]
"""As long as Linux accepts one argument of a program."""
IntentText = Annotated[str, Meta(max_length=1_000_000)]


def unstorable(value: Any, where: str = "") -> str:
    """Which number inside a value is too large to be stored, as a path of fields; empty if all can be stored."""
    if isinstance(value, int):
        return "" if -LARGEST - 1 <= value <= LARGEST else where or "the value"
    parts: Iterable[tuple[object, Any]] = ()
    if isinstance(value, Struct):
        parts = ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        parts = enumerate(value)
    return next((found for name, part in parts if (found := unstorable(part, f"{where}.{name}".lstrip(".")))), "")

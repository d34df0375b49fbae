"""Converts durations and sizes as people write them, `8h`, `10m30s`, `4GiB`, and writes numbers as agents read them."""

import re
from functools import lru_cache

from engine.domain.errors import ErrorKind, SwarmError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")

_BYTES = {
    "": 1,
    "b": 1,
    **{unit: 1_000**power for power, unit in enumerate(("kb", "mb", "gb", "tb"), start=1)},
    **{unit: 1_024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)},
    **{unit: 1_024**power for power, unit in enumerate(("k", "m", "g", "t"), start=1)},
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)")

LONGEST_S = 3_660 * 86_400.0
"""Ten years. A longer duration is a typing mistake, and would overflow timers."""


@lru_cache(maxsize=256)
def duration_s(text: str) -> float:
    """A duration such as `45m` or `10m30s`, in seconds. Raises SwarmError (settings)."""
    compact = re.sub(r"\s+", "", text.lower())
    parts = _SPAN_PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise _unreadable("duration", text, "write a number with a unit: 90s, 45m, 8h, 10m30s, 2d")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST_S:
        raise _unreadable("duration", text, "write one from 1ms to ten years, such as 45m")
    return seconds


def duration_text(seconds: float) -> str:
    """A duration in one unit, as agents read it: `8 s`, `12 min`, `2.5 h`."""
    if seconds < 100:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{f'{seconds / 3_600:.1f}'.removesuffix('.0')} h"


def counted(number: int, noun: str) -> str:
    """The number with its noun: `1 task`, `2 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_bytes(text: str) -> int:
    """A size such as `4GiB` (powers of 1024), `64MB` (powers of 1000) or a plain number, in bytes.

    Raises SwarmError (settings).
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _BYTES or len(match[1]) > 100:
        raise _unreadable("size", text, "write a number with a unit: 512MiB, 4GiB, 64MB")
    size = int(float(match[1]) * _BYTES[match[2]])
    if not 0 < size < 1 << 62:
        raise _unreadable("size", text, "write a size from 1 byte to 4 EiB, such as 4GiB")
    return size


def _unreadable(what: str, text: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.SETTINGS, f"'{text[:40]}' is not a {what}", hint)

"""Formats numbers for people: durations, times, counts, sizes, money and bars, short enough for a column."""

import time
from collections.abc import Sequence
from math import floor, isnan, log10

from tui.bridge import Micros

_SECOND = 1_000_000


def duration(micros: Micros) -> str:
    """A duration in its two largest units: `8s`, `4m12s`, `3h07m`, `2d04h`."""
    seconds = max(0, micros) // _SECOND
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    if minutes:
        return f"{minutes}m{seconds:02}s"
    return f"{seconds}s"


def age(micros: Micros) -> str:
    """A duration in its largest unit: `8s`, `4m`, `3h`, `2d`."""
    seconds = max(0, micros) // _SECOND
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def clock(at: Micros) -> str:
    """The time of day where the person is, `HH:MM:SS`; a journal may name times that no clock shows."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(at // _SECOND))
    except (ValueError, OverflowError, OSError):
        return "??:??:??"


def count(number: float) -> str:
    """`950`, `12.3k`, `1.2M`: at most five characters below 1e12."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:.0f}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """The number with its noun: `1 task`, `2 tasks`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def size(octets: float) -> str:
    """`512 B`, `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if octets < 1024 or unit == "TiB":
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 100 else f"{octets:.1f} {unit}"
        octets /= 1024
    return ""


def short_size(number: float) -> str:
    """A size for a column, in powers of 1024: `512`, `1.5G`, `118M`."""
    for unit in ("", "K", "M", "G", "T"):
        if number < 1000 or unit == "T":
            return f"{number:.0f}{unit}" if number >= 100 or number == int(number) else f"{number:.1f}{unit}"
        number /= 1024
    return ""


def dollars(usd: float | None) -> str:
    """`$0.0042`, `$3.21`, `$1,204`. An unknown price is never shown as zero."""
    if usd is None:
        return "cost unknown"
    if usd >= 1000:
        return f"${usd:,.0f}"
    return f"${usd:.4f}" if 0 < usd < 0.01 else f"${usd:.2f}"


def price(usd: float | None) -> str:
    """Money for a column: `<1¢`, `$3.21`, `$12.3`, `$1.2k`; `n/a` if unknown."""
    if usd is None:
        return "n/a"
    if usd < 0.01:
        return "<1¢" if usd > 0 else "$0"
    return f"${usd:.2f}" if usd < 9.995 else f"${usd:.1f}" if usd < 99.95 else f"${count(usd)}"


def percent(share: float | None) -> str:
    """A share between 0 and 1 in percent; a dash if there is none yet."""
    return "–" if share is None else f"{share * 100:.0f}%"


_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BARS = "▁▂▃▄▅▆▇█"


def meter(share: float, cells: int) -> str:
    """A horizontal bar for a share between 0 and 1, in eighths of a cell, padded with dots."""
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    whole, rest = divmod(eighths, 8)
    bar = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return bar + "·" * (cells - len(bar))


def bars(values: Sequence[float], rows: int, top: float) -> list[str]:
    """Vertical bars, one per value, as rows from top to bottom. `top` is the value of a full bar, NaN is a gap."""
    full = rows * 8
    heights = [0 if isnan(value) else max(1, min(full, round(value / (top or 1.0) * full))) for value in values]
    lines = []
    for row in reversed(range(rows)):
        parts = (height - row * 8 for height in heights)
        lines.append("".join(" " if part <= 0 else _BARS[min(8, part) - 1] for part in parts))
    return lines


def axis_top(value: float) -> float:
    """The top of an axis for values up to this one: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * 0.999)

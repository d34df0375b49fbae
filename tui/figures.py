"""Numbers as a person reads them: spans of time, counts, sizes and money, short enough for a column."""

from tui.bridge import Micros

_SECOND = 1_000_000


def span(micros: Micros) -> str:
    """A span in its two greatest units: `8s`, `4m12s`, `3h07m`, `2d04h`."""
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
    """A span in its greatest unit: `8s`, `4m`, `3h`, `2d`."""
    seconds = max(0, micros) // _SECOND
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def clock(at: Micros) -> str:
    """The time of day in UTC, `HH:MM:SS`."""
    seconds = at // _SECOND % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def count(number: float) -> str:
    """`950`, `12.3k`, `1.2M`: at most five characters below a thousand billions."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:.0f}"


def size(octets: float) -> str:
    """`512 B`, `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if octets < 1024 or unit == "TiB":
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 100 else f"{octets:.1f} {unit}"
        octets /= 1024
    return ""


def dollars(usd: float | None) -> str:
    """`$0.0042`, `$3.21`, `$1,204`; an unknown price is `$?`, never zero."""
    if usd is None:
        return "$?"
    if usd >= 1000:
        return f"${usd:,.0f}"
    return f"${usd:.4f}" if 0 < usd < 0.01 else f"${usd:.2f}"


def percent(share: float | None) -> str:
    """A share between 0 and 1; a dash when there is none yet."""
    return "–" if share is None else f"{share * 100:.0f}%"


_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BARS = "▁▂▃▄▅▆▇█"


def meter(share: float, cells: int) -> str:
    """A horizontal bar of a share between 0 and 1, in eighths of a cell, filled up with dots."""
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    whole, rest = divmod(eighths, 8)
    bar = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return bar + "·" * (cells - len(bar))


def sparkline(values: list[float], cells: int, top: float) -> str:
    """The newest values as bars, right-aligned; `top` is the value of a full bar."""
    shown = values[-cells:] if cells > 0 else []
    highest = top or 1.0
    bars = "".join(_BARS[min(7, max(0, int(value / highest * 8)))] for value in shown)
    return bars.rjust(cells)

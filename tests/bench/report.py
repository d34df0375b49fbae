"""What a bench found: a readable table, one JSON object as its last line, and the machine it ran on."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

Figure = float | int | str | None


@dataclass
class Report:
    """`rows` share their columns; `figures` and `ratios` go into the JSON. A ratio says what it divides in its name."""

    bench: str
    columns: Sequence[str]
    rows: list[Sequence[Figure]] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    ratios: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The rows under their columns, numbers to the right."""
        cells = [list(self.columns), *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines += [f"{name}: {_cell(value)}" for name, value in self.ratios.items()]
        return "\n".join([*lines, *self.notes])

    def json(self) -> str:
        """The last line of a bench's output."""
        found = {"bench": self.bench, "machine": machine(), "figures": self.figures, "ratios": self.ratios}
        return msgspec.json.encode(found).decode()

    def show(self) -> None:
        """Print both: the table for people, the last line for scripts."""
        sys.stdout.write(f"{self.table()}\n{self.json()}\n")


def ratio(value: float | None, base: float | None) -> float | None:
    """One figure as a multiple of another; None when either is missing."""
    return round(value / base, 3) if value is not None and base else None


def machine() -> dict[str, Figure]:
    """What a reader needs to judge figures by, without names of hosts, people or folders."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": ".".join(map(str, sys.version_info[:3])),
        "git": _git(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cell(value: Figure) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def _line(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _git() -> str:
    answer = subprocess.run(["git", "version"], capture_output=True, text=True, check=False)
    return answer.stdout.removeprefix("git version ").strip()

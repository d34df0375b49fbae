"""Says of a command that took long whether that was the machine's load, so that nobody blames the command."""

from collections.abc import Iterable

from engine.domain.resource_use import Sample
from engine.domain.types import Micros

LONG_S = 5.0
"""A shorter command's time says nothing anyway."""
MEMORY, DISK = 10.0, 50.0
"""Percent of the time that something waited, from which the machine counts as busy."""
STARVED = 0.4
"""The share of its time without a CPU above which a command counts as held up."""


def busy(
    samples: Iterable[tuple[Micros, Sample]], since: Micros, wall_s: float, cpu_s: float | None, starved_s: float
) -> str:
    """What held up a command that began at `since`; empty if nothing did.

    `starved_s`: seconds in which it could have run but had no CPU. A command that was on a CPU for most of its time was
    not held up.
    """
    if wall_s < LONG_S:
        return ""
    if starved_s >= STARVED * wall_s:
        ran = 100 * (1 - starved_s / wall_s)
        return f"the command had a CPU for only {ran:.0f}% of that time; the rest does not count towards its time limit"
    if cpu_s is not None and cpu_s > wall_s / 2:
        return ""
    known = list(samples)
    during = [sample for at, sample in known if at >= since] or [sample for _, sample in known[-1:]]
    found = []
    for what, most, values in (
        ("waiting for memory", MEMORY, [sample.memory_pressure for sample in during]),
        ("waiting for the disk", DISK, [sample.io_pressure for sample in during]),
    ):
        if during and (mean := sum(values) / len(values)) >= most:
            found.append(f"{what} {mean:.0f}% of the time")
    return ", ".join(found) and f"{', '.join(found)}; times mean little"

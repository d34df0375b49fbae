"""Says of a command that took long whether that was the machine's load, so that nobody blames the command."""

from collections.abc import Iterable

from engine.domain.resource_use import Sample
from engine.domain.types import Micros

LONG_S = 5.0
"""A shorter command's time says nothing anyway."""
CPU, MEMORY, DISK = 40.0, 10.0, 50.0
"""Percent of the time that something waited, from which the machine counts as busy."""


def busy(samples: Iterable[tuple[Micros, Sample]], since: Micros, wall_s: float, cpu_s: float | None) -> str:
    """What the machine was busy with while a command ran, from `since` on; empty if the command's time is its own.

    A command that was on a CPU for most of its time was not held up.
    """
    if wall_s < LONG_S or (cpu_s is not None and cpu_s > wall_s / 2):
        return ""
    known = list(samples)
    during = [sample for at, sample in known if at >= since] or [sample for _, sample in known[-1:]]
    found = []
    for what, most, values in (
        ("CPU contended", CPU, [sample.cpu_pressure for sample in during]),
        ("waiting for memory", MEMORY, [sample.memory_pressure for sample in during]),
        ("waiting for the disk", DISK, [sample.io_pressure for sample in during]),
    ):
        if during and (mean := sum(values) / len(values)) >= most:
            found.append(f"{what} {mean:.0f}% of the time")
    return ", ".join(found)

"""The governor: limits how many workers and builds start under load. It never kills running ones."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from engine.domain.resource_use import LoadLimit, Sample
from engine.domain.settings import Settings
from engine.resources.build_gate import BuildGate

GIB = 2**30
MIB = 2**20
OTHERS = 20.0
"""Percent of the CPU from which other programs that use it are named in the reason."""


class Bounds(Struct, frozen=True):
    """The governor's thresholds: free space in bytes; pressure (`some`, 10 s average) and commands' time without a CPU
    in percent; counts in samples.

    Between a floor and one and a half times the floor, and between a low and a high mark, nothing changes.
    """

    ceiling: int
    memory_floor: int = 1 * GIB
    disk_floor: int = 1 * GIB
    memory_pressure_high: float = 15.0
    memory_pressure_low: float = 5.0
    io_pressure_high: float = 80.0
    io_pressure_low: float = 50.0
    starved_high: float = 75.0
    starved_low: float = 50.0
    fewest: int = 1
    """So many workers, and so many commands that could run at a time, are never too many for the CPU: one for each
    build that may run at a time."""
    settle: int = 3
    """Samples to wait after a change, so that its effect shows before the next one."""
    release: int = 12
    """Calm samples with unused worker slots after which the limit is removed."""


class Load(Struct, frozen=True):
    """The limit of workers, its reason, and how many samples ago it changed and calm began."""

    limit: int
    reason: str = ""
    since: int = 0
    calm: int = 0
    starved: bool = False
    """Free disk space is below its floor: nothing starts until it is well above."""
    crowded: bool = False
    """Commands got no CPU when the limit was lowered, so it also holds for commands of running workers."""


def decide(sample: Sample, load: Load, at_work: int, bounds: Bounds, met: str = "") -> Load:
    """The limit of workers after one more sample. Pure.

    `at_work` is the number of running workers, `met` names the limits on all commands together that were reached
    since the last sample. A loaded machine keeps at least one worker, as the load may come from other programs; a full
    disk keeps none.
    """
    load = replace(load, since=load.since + 1)
    enough = bounds.disk_floor * 3 // 2
    if sample.disk_free < bounds.disk_floor or (load.starved and sample.disk_free < enough):
        free = f"{_size(sample.disk_free)} free on the state folder's disk"
        reason = f"{free}, {_size(enough)} needed: free some space"
        return load if load.starved else Load(0, reason, starved=True)
    if load.starved:
        return Load(max(1, min(at_work or bounds.ceiling, bounds.ceiling)), "enough disk space again")
    short = _shortage(sample, bounds, met)
    if heat := short or _starvation(sample, bounds):
        load = replace(load, calm=0)
        fewest = 1 if short else bounds.fewest
        target = max(fewest, int(min(load.limit, at_work, bounds.ceiling) * _kept(sample, bounds)))
        if target >= load.limit or (load.reason and load.since < bounds.settle):
            return load
        if not short and at_work <= fewest:  # other programs take the CPU, or a check does before any worker starts
            return load
        crowded = bool(_starvation(sample, bounds))
        if at_work > load.limit and not crowded:  # the last reduction is still taking effect as workers end
            return load
        return Load(target, heat, crowded=crowded)
    if load.limit >= bounds.ceiling:
        return load
    if not _is_calm(sample, bounds):
        return replace(load, calm=0)
    load = replace(load, calm=load.calm + 1)
    if at_work < load.limit:
        return Load(bounds.ceiling, "calm again") if load.calm >= bounds.release else load
    if load.calm < bounds.settle or load.since < bounds.settle:
        return load
    room = _room(sample, at_work, bounds)
    step = min(max(1, load.limit // 4), room)
    raised = min(bounds.ceiling, load.limit + step)
    return Load(raised, "calm again", calm=load.calm, crowded=load.crowded) if step > 0 else load


class Builds(Struct, frozen=True):
    """The build slots, the reason, and how many samples ago they changed and calm began."""

    slots: int
    reason: str = ""
    since: int = 0
    calm: int = 0


def decide_builds(sample: Sample, builds: Builds, ceiling: int, bounds: Bounds, met: str = "") -> Builds:
    """The build slots after one more sample: one fewer under load, one more while calm, at least one. Pure.

    A busy CPU does not count as load, because builds are meant to use it; commands without a CPU do.
    """
    builds = replace(builds, since=builds.since + 1)
    settled = builds.since >= bounds.settle or not builds.reason
    if heat := _shortage(sample, bounds, met) or _starvation(sample, bounds):
        builds = replace(builds, calm=0)
        return Builds(builds.slots - 1, heat) if settled and builds.slots > 1 else builds
    if builds.slots >= ceiling or not _is_calm(sample, bounds):
        return replace(builds, calm=0)
    builds = replace(builds, calm=builds.calm + 1)
    if builds.calm < bounds.settle or not settled:
        return builds
    return Builds(builds.slots + 1, "calm again", calm=builds.calm)


class LoadGovernor:
    """Implements protocols.Governor; keeps the state between samples and sets the gate's slots.

    `at_work` returns the number of running workers, `met` the limits on all commands together that were reached since
    its last call. No limit exceeds `max_agents`, and the gate never gets more slots than it began with.
    """

    def __init__(
        self,
        settings: Settings,
        at_work: Callable[[], int],
        gate: BuildGate,
        met: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        ceiling = max(settings.swarm.max_agents, settings.swarm.workers)
        self.bounds = Bounds(ceiling=ceiling, fewest=min(gate.slots, ceiling))
        self.load = Load(self.bounds.ceiling)
        self.builds = Builds(gate.slots)
        self._gate = gate
        self._most_builds = gate.slots
        self._at_work = at_work
        self._met = met
        self._seen = False

    @property
    def limit(self) -> int:
        return self.load.limit

    def consider(self, sample: Sample) -> LoadLimit | None:
        """Take a sample into account; returns the new limits if they changed, else None."""
        if not self._seen:
            self._seen = True
            self.bounds = _fitted(self.bounds, sample)
        load, builds = self.load, self.builds
        met = " and ".join(self._met())
        self.load = decide(sample, load, self._at_work(), self.bounds, met)
        self.builds = decide_builds(sample, builds, self._most_builds, self.bounds, met)
        self._gate.slots = self.builds.slots
        crowded = self.load.crowded and self.load.limit < self.bounds.ceiling
        self._gate.commands = max(self.load.limit, self._most_builds) if crowded else None
        reason = self.load.reason if self.load.limit != load.limit else self.builds.reason
        if (self.load.limit, self.builds.slots) == (load.limit, builds.slots):
            return None
        workers = None if self.load.limit >= self.bounds.ceiling else self.load.limit
        return LoadLimit(workers, self.builds.slots, reason)


def _fitted(bounds: Bounds, sample: Sample) -> Bounds:
    """Lower floors for a small machine: at most a quarter of the free memory and half of the free disk at the start."""
    return replace(
        bounds,
        memory_floor=min(bounds.memory_floor, sample.memory_free // 4),
        disk_floor=max(256 * MIB, min(bounds.disk_floor, sample.disk_free // 2)),
    )


def _shortage(sample: Sample, bounds: Bounds, met: str) -> str:
    """What the machine lacks other than CPU; empty if nothing."""
    if met:
        return f"all commands together reached their limit of {met}"
    if sample.memory_free < bounds.memory_floor:
        return f"{_size(sample.memory_free)} of memory free, {_size(bounds.memory_floor)} needed"
    if sample.memory_pressure > bounds.memory_pressure_high:
        return f"memory pressure {sample.memory_pressure:.0f}%"
    if sample.io_pressure > bounds.io_pressure_high:
        return f"disk pressure {sample.io_pressure:.0f}%"
    return ""


def _starvation(sample: Sample, bounds: Bounds) -> str:
    """A sentence if commands get no CPU, with the share that other programs use. Empty if commands get enough, or are
    so few that fewer workers would not give them more."""
    if sample.starved > bounds.starved_high and sample.runnable > bounds.fewest:
        others = f"; other programs use {sample.cpu_others:.0f}% of it" if sample.cpu_others >= OTHERS else ""
        return f"commands wait for a CPU {sample.starved:.0f}% of the time{others}"
    return ""


def _kept(sample: Sample, bounds: Bounds) -> float:
    """The share of the workers that a reduction leaves: three quarters, or down to a half if commands get little
    CPU."""
    if not _starvation(sample, bounds):
        return 0.75
    return min(0.75, max(0.5, (100 - sample.starved) / (100 - bounds.starved_high)))


def _is_calm(sample: Sample, bounds: Bounds) -> bool:
    return (
        sample.memory_free >= 1.5 * bounds.memory_floor
        and sample.memory_pressure < bounds.memory_pressure_low
        and sample.io_pressure < bounds.io_pressure_low
        and (sample.starved < bounds.starved_low or sample.runnable < bounds.fewest / 2)
    )


def _room(sample: Sample, at_work: int, bounds: Bounds) -> int:
    """How many more workers fit into the free memory, at what each takes now on average."""
    each = max(16 * MIB, sample.memory // max(1, at_work))
    return int((sample.memory_free - bounds.memory_floor) // each)


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size // MIB} MiB"

"""The meters: what the swarm and its machine use, as one Sample, read in a thread within milliseconds."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]
from msgspec import Struct

from engine.protocols import Clock
from engine.resources import proc
from engine.resources.build_gate import GateFigures
from engine.types import Sample

SMAPS_BUDGET_S = 0.015
"""Seconds of one sample for exact memory of the biggest processes; the rest are estimated."""


class GateMeter(Protocol):
    """What the meters need of the build gate."""

    def figures(self, subtree: str | None = None) -> GateFigures: ...

    def note_lock_wait(self, seconds: float, subtree: str = "") -> None: ...


class EndpointMeter(Protocol):
    """How one model endpoint is doing."""

    @property
    def in_flight(self) -> int: ...

    @property
    def rate_limited_s(self) -> float: ...


class ModelMeter(Protocol):
    """What the meters need of the models."""

    @property
    def statistics(self) -> Mapping[str, EndpointMeter]: ...


class Reading(Struct, frozen=True):
    """What one look at the machine gave. `cpu_s` and disk bytes are totals that only their growth makes sense of."""

    at: float
    memory: int
    memory_free: int
    cpu_s: float
    disk_read: int
    disk_write: int
    disk_free: int
    cpu_pressure: float
    memory_pressure: float
    io_pressure: float
    processes: int
    lock_waiters: int


class SystemMeters:
    """Implements `Meters` for the tree of processes below `root` (this process).

    A child's CPU and disk totals move to its parent when that has waited for it, so sums over the live tree go on
    growing through its end; where a child was never waited for, what it did since the last sample is lost.
    Outside Linux, disk rates, pressure and lock waits are 0.
    """

    def __init__(
        self, folder: Path, clock: Clock, gate: GateMeter | None = None, models: ModelMeter | None = None
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._gate = gate
        self._models = models
        self._root = os.getpid()
        self._cores = os.cpu_count() or 1
        self._last: Reading | None = None
        self._known_memory: dict[int, tuple[int, int]] = {}

    async def sample(self) -> Sample:
        reading = await asyncio.to_thread(self._read)
        last, self._last = self._last, reading
        span = reading.at - last.at if last is not None else 0.0
        cpu = read = written = 0.0
        if last is not None and span > 0:
            cpu = 100 * max(0.0, reading.cpu_s - last.cpu_s) / span / self._cores
            read = max(0, reading.disk_read - last.disk_read) / span
            written = max(0, reading.disk_write - last.disk_write) / span
        gate = GateFigures()
        if self._gate is not None:
            self._gate.note_lock_wait(span * reading.lock_waiters)
            gate = self._gate.figures()
        endpoints = self._models.statistics.values() if self._models is not None else ()
        return Sample(
            memory=reading.memory,
            memory_free=reading.memory_free,
            disk_read=read,
            disk_write=written,
            disk_free=reading.disk_free,
            cpu=min(100.0, cpu),
            cpu_pressure=reading.cpu_pressure,
            memory_pressure=reading.memory_pressure,
            io_pressure=reading.io_pressure,
            processes=reading.processes,
            building=gate.building,
            gate_waiting=gate.waiting,
            contention=gate.contention,
            model_calls=sum(endpoint.in_flight for endpoint in endpoints),
            rate_limited_s=sum(endpoint.rate_limited_s for endpoint in endpoints),
        )

    def _read(self) -> Reading:
        everyone = proc.processes() if os.path.isdir(f"{proc.PROC}/self") else _portable_processes(self._root)
        tree = proc.tree(self._root, everyone)
        disk = [proc.disk_bytes(process.pid) for process in tree]
        free = proc.memory_free()
        try:
            disk_free = shutil.disk_usage(self._folder).free
        except OSError:
            disk_free = 0
        return Reading(
            at=self._clock.monotonic(),
            memory=self._memory(tree),
            memory_free=psutil.virtual_memory().available if free is None else free,
            cpu_s=sum(process.cpu_s for process in tree),
            disk_read=sum(read for read, _ in disk),
            disk_write=sum(written for _, written in disk),
            disk_free=disk_free,
            cpu_pressure=proc.pressure("cpu"),
            memory_pressure=proc.pressure("memory"),
            io_pressure=proc.pressure("io"),
            processes=len(tree),
            lock_waiters=len(proc.lock_waits(process.pid for process in tree)),
        )

    def _memory(self, tree: list[proc.Process]) -> int:
        """Bytes of the tree: proportional for the biggest while the budget lasts, without shared pages for the rest.

        What was read of a process holds until its size changes: most are asleep.
        """
        deadline = self._clock.monotonic() + SMAPS_BUDGET_S
        known: dict[int, tuple[int, int]] = {}
        for process in sorted(tree, key=lambda process: -process.rss):
            size, memory = self._known_memory.get(process.pid, (-1, 0))
            if size != process.rss:
                exact = proc.proportional_memory(process.pid) if self._clock.monotonic() < deadline else None
                memory = proc.own_memory(process.pid) if exact is None else exact
            known[process.pid] = (process.rss, memory)
        self._known_memory = known
        return sum(memory for _, memory in known.values())


def _portable_processes(root: int) -> dict[int, proc.Process]:
    """The tree by psutil, where there is no /proc."""
    found = {}
    top = psutil.Process(root)
    for process in (top, *top.children(recursive=True)):
        try:
            times = process.cpu_times()
            cpu_s = times.user + times.system
            found[process.pid] = proc.Process(process.pid, process.ppid(), cpu_s, process.memory_info().rss)
        except psutil.Error:
            continue
    return found

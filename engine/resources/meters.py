"""The meters: what the swarm and its machine use, as one Sample, read in a thread within milliseconds."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]
from msgspec import Struct

from engine.domain.resource_use import AgentUse, Sample
from engine.domain.types import AgentId
from engine.ports.protocols import Clock
from engine.resources import proc
from engine.resources.build_gate import BuildGate

SMAPS_BUDGET_S = 0.015
"""Seconds per sample for measuring the largest processes' memory exactly; the others are estimated."""


class EndpointMeter(Protocol):
    """Calls in flight to one model endpoint, and seconds of rate limiting."""

    @property
    def in_flight(self) -> int: ...

    @property
    def rate_limited_s(self) -> float: ...


class ModelMeter(Protocol):
    """What the meters need of the models."""

    @property
    def statistics(self) -> Mapping[str, EndpointMeter]: ...


class AgentReading(Struct, frozen=True):
    """The processes of one agent's sandbox. Memory is in bytes; `cpu_s` and disk bytes are running totals."""

    cpu_s: float = 0.0
    disk_read: int = 0
    disk_write: int = 0
    memory: int = 0
    processes: int = 0
    lock_waiters: int = 0


class Reading(Struct, frozen=True):
    """One measurement of the machine. `cpu_s` and disk bytes are running totals: only differences mean something."""

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
    agents: dict[AgentId, AgentReading]


class SystemMeters:
    """Implements `Meters` for the tree of processes below `root` (this process).

    A child's CPU and disk totals move to its parent once the parent has waited for it, so sums over the live tree keep
    growing when it ends; if nobody waits for it, its use since the last sample is lost.
    Outside Linux, disk rates, pressure and lock waits are 0.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        gate: BuildGate,
        models: ModelMeter | None = None,
        sandboxes: Callable[[], Mapping[AgentId, int]] = dict,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._gate = gate
        self._models = models
        self._sandboxes = sandboxes
        self._root = os.getpid()
        self._uses: dict[AgentId, AgentUse] = {}
        self._cores = os.cpu_count() or 1
        self._last: Reading | None = None
        self._known_memory: dict[int, tuple[int, int]] = {}

    async def sample(self) -> Sample:
        sandboxes = dict(self._sandboxes())
        reading = await asyncio.to_thread(self._read, sandboxes)
        last, self._last = self._last, reading
        span = reading.at - last.at if last is not None else 0.0
        cpu = read = written = 0.0
        if last is not None and span > 0:
            cpu = 100 * max(0.0, reading.cpu_s - last.cpu_s) / span / self._cores
            read = max(0, reading.disk_read - last.disk_read) / span
            written = max(0, reading.disk_write - last.disk_write) / span
        for agent, of_agent in reading.agents.items():
            self._gate.note_lock_wait(span * of_agent.lock_waiters, agent)
        others = reading.lock_waiters - sum(of_agent.lock_waiters for of_agent in reading.agents.values())
        self._gate.note_lock_wait(span * others)
        gate = self._gate.figures()
        self._uses = {agent: self._use(agent, now, last, span) for agent, now in reading.agents.items()}
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

    def uses(self) -> dict[AgentId, AgentUse]:
        """Each agent's use at the last sample, without agents that used nothing."""
        return {agent: use for agent, use in self._uses.items() if use.processes or use.gate_s}

    def _use(self, agent: AgentId, now: AgentReading, last: Reading | None, span: float) -> AgentUse:
        before = last.agents.get(agent, now) if last is not None else now
        rate = 1 / span if span > 0 else 0.0
        gate = self._gate.figures(agent)
        return AgentUse(
            memory=now.memory,
            cpu=round(100 * rate * max(0.0, now.cpu_s - before.cpu_s), 1),
            disk_read=round(rate * max(0, now.disk_read - before.disk_read)),
            disk_write=round(rate * max(0, now.disk_write - before.disk_write)),
            processes=now.processes,
            gate_s=round(gate.wait_s, 2),
            lock_s=round(gate.lock_s, 2),
            build_s=round(gate.run_s, 2),
        )

    def _read(self, sandboxes: Mapping[AgentId, int]) -> Reading:
        everyone = proc.processes() if os.path.isdir(f"{proc.PROC}/self") else _portable_processes(self._root)
        tree = proc.tree(self._root, everyone)
        disk = {process.pid: proc.disk_bytes(process.pid) for process in tree}
        memory = self._memory(tree)
        waiters = proc.lock_waiters(disk)
        free = proc.memory_free()
        try:
            disk_free = shutil.disk_usage(self._folder).free
        except OSError:
            disk_free = 0
        return Reading(
            at=self._clock.monotonic(),
            memory=sum(memory.values()),
            memory_free=psutil.virtual_memory().available if free is None else free,
            cpu_s=sum(process.cpu_s for process in tree),
            disk_read=sum(read for read, _ in disk.values()),
            disk_write=sum(written for _, written in disk.values()),
            disk_free=disk_free,
            cpu_pressure=proc.pressure("cpu"),
            memory_pressure=proc.pressure("memory"),
            io_pressure=proc.pressure("io"),
            processes=len(tree),
            lock_waiters=len(waiters),
            agents={
                agent: _of_agent(members, disk, memory, waiters)
                for agent, members in _by_sandbox(tree, sandboxes).items()
            },
        )

    def _memory(self, tree: list[proc.Process]) -> dict[int, int]:
        """Bytes by process: proportional for the largest within the time budget, without shared pages for the others.

        A value is kept until the process's size changes, as most processes are asleep.
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
        return {pid: memory for pid, (_, memory) in known.items()}


def _by_sandbox(tree: list[proc.Process], sandboxes: Mapping[AgentId, int]) -> dict[AgentId, list[proc.Process]]:
    """The processes of each agent's sandbox. `tree` lists parents before children."""
    owners = {pid: agent for agent, pid in sandboxes.items()}
    owner: dict[int, AgentId] = {}
    found: dict[AgentId, list[proc.Process]] = {}
    for process in tree:
        agent = owners.get(process.pid) or owner.get(process.parent)
        if agent is not None:
            owner[process.pid] = agent
            found.setdefault(agent, []).append(process)
    return found


def _of_agent(
    members: list[proc.Process],
    disk: Mapping[int, tuple[int, int]],
    memory: Mapping[int, int],
    waiters: list[int],
) -> AgentReading:
    pids = [process.pid for process in members]
    return AgentReading(
        cpu_s=sum(process.cpu_s for process in members),
        disk_read=sum(disk[pid][0] for pid in pids),
        disk_write=sum(disk[pid][1] for pid in pids),
        memory=sum(memory[pid] for pid in pids),
        processes=len(pids),
        lock_waiters=sum(map(waiters.count, pids)),
    )


def _portable_processes(root: int) -> dict[int, proc.Process]:
    """The process tree from psutil, for systems without /proc."""
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

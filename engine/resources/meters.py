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


ENOUGH_S = 1.0
"""Seconds in which commands could run, below which the share without a CPU says nothing."""


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


class CommandMeter(Protocol):
    """`ready_s`: seconds since the start in which agents' commands could run. `lost_s`: those of them without a CPU."""

    ready_s: float
    lost_s: float


class Use(Struct, frozen=True):
    """What some processes use. Memory is in bytes; `cpu_s` and disk bytes are running totals."""

    cpu_s: float
    disk_read: int
    disk_write: int
    memory: int
    processes: int
    lock_waiters: int

    def rates(self, before: "Use", span: float) -> tuple[float, float, float]:
        """Percent of a core, and bytes read and written per second, since `before`, `span` seconds earlier."""
        rate = 1 / span if span > 0 else 0.0
        grown = (self.cpu_s - before.cpu_s, self.disk_read - before.disk_read, self.disk_write - before.disk_write)
        cpu, read, written = (rate * max(0.0, each) for each in grown)
        return 100 * cpu, read, written


class Starvation:
    """How many commands could recently run at a time, and how much of that time they had no CPU.

    With each sample, earlier ones count half as much. While no command runs, the figures stay for some samples and are
    then forgotten: a limit must not outlive what caused it.
    """

    def __init__(self, share: CommandMeter | None) -> None:
        self._share = share
        self._before = (0.0, 0.0)
        self._span_s = self._ready_s = self._lost_s = 0.0

    def measure(self, span: float) -> tuple[float, float]:
        """The mean number of commands that could run, and the percentage of that time without a CPU. `span`: seconds
        since the last call."""
        if self._share is not None:
            now = (self._share.ready_s, self._share.lost_s)
            ready_s, lost_s = now[0] - self._before[0], now[1] - self._before[1]
            self._before = now
            kept = 0.5 if ready_s > 0 else 0.9
            self._ready_s, self._lost_s = kept * self._ready_s + max(0.0, ready_s), kept * self._lost_s + lost_s
            self._span_s = kept * self._span_s + span
        percent = 100 * self._lost_s / self._ready_s if self._ready_s >= ENOUGH_S else 0.0
        return self._ready_s / self._span_s if self._span_s > 0 else 0.0, percent


class Reading(Struct, frozen=True):
    """One measurement of the machine, of the swarm's processes and of each agent's."""

    at: float
    memory_free: int
    disk_free: int
    machine_cpu: tuple[float, float]
    """Seconds, over all cores, in which the machine was busy, and all seconds."""
    cpu_pressure: float
    memory_pressure: float
    io_pressure: float
    swarm: Use
    agents: dict[AgentId, Use]


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
        commands: CommandMeter | None = None,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._gate = gate
        self._models = models
        self._sandboxes = sandboxes
        self._starvation = Starvation(commands)
        self._root = os.getpid()
        self._uses: dict[AgentId, AgentUse] = {}
        self._cores = os.cpu_count() or 1
        self._last: Reading | None = None
        self._known_memory: dict[int, tuple[int, int]] = {}

    async def sample(self) -> Sample:
        reading = await asyncio.to_thread(self._read, dict(self._sandboxes()))
        last, self._last = self._last or reading, reading
        span = reading.at - last.at
        swarm = reading.swarm
        cpu, read, written = swarm.rates(last.swarm, span)
        own = min(100.0, cpu / self._cores)
        busy, whole = (now - then for now, then in zip(reading.machine_cpu, last.machine_cpu, strict=True))
        for agent, use in reading.agents.items():
            self._gate.note_lock_wait(span * use.lock_waiters, agent)
        others = swarm.lock_waiters - sum(use.lock_waiters for use in reading.agents.values())
        self._gate.note_lock_wait(span * others)
        gate = self._gate.figures()
        self._uses = {
            agent: self._use(agent, use, last.agents.get(agent, use), span) for agent, use in reading.agents.items()
        }
        runnable, starved = self._starvation.measure(span)
        endpoints = self._models.statistics.values() if self._models is not None else ()
        return Sample(
            memory=swarm.memory,
            memory_free=reading.memory_free,
            disk_read=read,
            disk_write=written,
            disk_free=reading.disk_free,
            cpu=own,
            cpu_pressure=reading.cpu_pressure,
            memory_pressure=reading.memory_pressure,
            io_pressure=reading.io_pressure,
            processes=swarm.processes,
            building=gate.building,
            gate_waiting=gate.waiting,
            contention=gate.contention,
            model_calls=sum(endpoint.in_flight for endpoint in endpoints),
            rate_limited_s=sum(endpoint.rate_limited_s for endpoint in endpoints),
            starved=starved,
            runnable=runnable,
            cpu_others=max(0.0, 100 * busy / whole - own) if whole > 0 else 0.0,
        )

    def uses(self) -> dict[AgentId, AgentUse]:
        """Each agent's use at the last sample, without agents that used nothing."""
        return {agent: use for agent, use in self._uses.items() if use.processes or use.gate_s}

    def _use(self, agent: AgentId, now: Use, before: Use, span: float) -> AgentUse:
        cpu, read, written = now.rates(before, span)
        gate = self._gate.figures(agent)
        return AgentUse(
            memory=now.memory,
            cpu=round(cpu, 1),
            disk_read=round(read),
            disk_write=round(written),
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
            memory_free=psutil.virtual_memory().available if free is None else free,
            disk_free=disk_free,
            machine_cpu=_machine_cpu(),
            cpu_pressure=proc.pressure("cpu"),
            memory_pressure=proc.pressure("memory"),
            io_pressure=proc.pressure("io"),
            swarm=_use_of(tree, disk, memory, waiters),
            agents={
                agent: _use_of(members, disk, memory, waiters)
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


def _machine_cpu() -> tuple[float, float]:
    """Busy and all CPU seconds since the machine started. What neighbours of a virtual machine took counts as busy."""
    times = psutil.cpu_times()
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # in `user` and `nice`, too
    return whole - times.idle - getattr(times, "iowait", 0.0), whole


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


def _use_of(
    processes: list[proc.Process],
    disk: Mapping[int, tuple[int, int]],
    memory: Mapping[int, int],
    waiters: list[int],
) -> Use:
    pids = [process.pid for process in processes]
    return Use(
        cpu_s=sum(process.cpu_s for process in processes),
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

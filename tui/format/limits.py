"""The limits of a run in words: what it may use, and what slows the swarm down right now."""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec

from tui.bridge import (
    AgentId,
    Micros,
    ProviderSettings,
    Role,
    RunState,
    Sample,
    Settings,
    Snapshot,
    Task,
    TaskState,
    duration_s,
    full_subtrees,
    waits_for,
)
from tui.format.numbers import counted, size
from tui.format.view import RunCounts

NEAR = 0.9
"""Share of a budget from which it is highlighted."""
_DISK_LOW = 2 << 30
_CONTENDED = 60.0
"""Percent of the time that something waited for the CPU or disk, from which that is reported."""
_MEMORY_CONTENDED = 10.0
_STARVED, _TAKEN = 50.0, 20.0
"""Percent of commands' time without a CPU, and of the CPU that other programs use, from which they are reported."""


class Budget(NamedTuple):
    """What the whole run may use. 0 means no limit; `wall` is in microseconds."""

    usd: float = 0.0
    tokens: int = 0
    wall: Micros = 0


class Limit(NamedTuple):
    """A limit that slows the swarm down. `blocking` if no work can start because of it."""

    name: str
    text: str
    blocking: bool = False


@lru_cache(maxsize=4)
def settings_in(text: str) -> Settings:
    """The settings that a run was started with; the defaults if another version wrote them and they can't be read."""
    try:
        return msgspec.json.decode(text, type=Settings)
    except msgspec.MsgspecError:
        return Settings()


def budget_of(run: Snapshot) -> Budget:
    """The limits of the whole run."""
    budget = settings_in(run.settings).budget
    return Budget(budget.usd, budget.tokens, int(duration_s(budget.wall) * 1_000_000) if budget.wall else 0)


def partial_limits(run: Snapshot) -> Iterator[Limit]:
    """Limits of parts of the run: workers below a planner, and budgets that are low or used up."""
    for id, slots in run.workers_below.items():
        yield Limit("workers", f"≤{counted(slots, 'worker')} below {run.agents[id].path}", blocking=not slots)
    for part, mark in run.budget_marks.items():
        if mark.mark != "room" and part.startswith(("role ", "subtree ")):
            how = "used up" if mark.mark == "reached" else "low"
            name = part.removeprefix("role ").removeprefix("subtree ")
            yield Limit("budget", f"{name} budget {how}", blocking=mark.mark == "reached")


def active_limits(run: Snapshot, counts: RunCounts) -> Iterator[Limit]:
    """Every limit that slows the swarm down now, the most severe first."""
    if run.state in (RunState.PAUSING, RunState.PAUSED):
        yield Limit("paused", "the whole run: P resumes it", blocking=True)
    for agent in run.agents.values():
        if agent.paused and not agent.ended:
            how = "frozen" if agent.frozen else "paused"
            yield Limit(how, f"{agent.path}: p resumes it", blocking=agent.parent is None)
    yield from _budgets(run)
    yield from _workers(run, counts)
    yield from _subtrees(run)
    if held := run.task_counts[TaskState.HELD]:
        yield Limit("held", f"{counted(held, 'task')} after a task that did not land: the planner decides")
    if run.samples and not run.ended:
        yield from _machine(run, run.samples[-1][1])


def _budgets(run: Snapshot) -> Iterator[Limit]:
    for part, mark in run.budget_marks.items():
        if mark.mark != "room":
            yield Limit("budget", f"{part}: {mark.limit}", blocking=mark.mark == "reached")


def busy_workers(run: Snapshot) -> int:
    """How many worker slots are in use."""
    return run.task_counts[TaskState.WORKING] + run.task_counts[TaskState.LANDING] - len(run.waiting_landings)


def _workers(run: Snapshot, counts: RunCounts) -> Iterator[Limit]:
    busy = busy_workers(run)
    queued = sum(map(partial(_is_ready, run), run.tasks.values())) if run.task_counts[TaskState.QUEUED] else 0
    if queued and busy >= run.workers_limit:
        who = {"settings": "[swarm] workers", "person": "set by a person"}.get(run.workers_limit_by, "governor")
        why = f": {run.workers_limit_reason}" if run.workers_limit_reason else ""
        yield _slots("workers", run.workers_limit, f" ({who}{why})", queued)
    elif queued and (load := run.load_limit) is not None and load.workers is not None and busy >= load.workers:
        yield _slots("governor", load.workers, f" ({load.reason})", queued)
    most = settings_in(run.settings).swarm.max_agents
    if (alive := counts.all - counts.ended) >= most:
        yield Limit("agents", f"{counted(alive, 'agent')} running, [swarm] max_agents is {most}")


def _is_ready(run: Snapshot, task: Task) -> bool:
    """Whether a task waits for nothing but a worker slot."""
    return task.state is TaskState.QUEUED and not waits_for(run, task)


def _slots(name: str, slots: int, why: str, queued: int, below: str = "") -> Limit:
    """A limit on workers that makes tasks queue."""
    busy = f"all {slots} worker slots{below} are busy" if slots > 1 else f"the only worker slot{below} is busy"
    text = busy if slots else f"no worker may start{below}"
    return Limit(name, f"{text}{why}; {counted(queued, 'task')} queued", blocking=not slots)


def _subtrees(run: Snapshot) -> Iterator[Limit]:
    if not run.workers_below:
        return
    busy, queued = Counter[AgentId](), Counter[AgentId]()
    waiting_landings = run.waiting_landings
    for task in run.tasks.values():
        at_work = task.state in (TaskState.WORKING, TaskState.LANDING)
        busy[task.planner] += at_work and task.id not in waiting_landings
        queued[task.planner] += _is_ready(run, task)
    full = full_subtrees(run, busy)
    for id, slots in run.workers_below.items():
        waiting = sum(queued[below.id] for below in run.subtree(id)) if id in full else 0
        if waiting:
            yield _slots("workers", slots, " (set by a person)", waiting, f" below {run.agents[id].path}")


def _machine(run: Snapshot, now: Sample) -> Iterator[Limit]:
    if now.gate_waiting:
        yield Limit("build gate", f"{counted(now.building, 'build')} running, {now.gate_waiting} waiting")
    most = _concurrent_calls(run)
    if now.model_calls >= most:
        yield Limit("model calls", f"all {most} running ([providers] max_concurrent)")
    if len(run.samples) > 1 and (more := now.rate_limited_s - run.samples[-2][1].rate_limited_s) > 0:
        yield Limit("rate limit", f"model calls waited {more:.0f} s since the last sample")
    if now.disk_free < _DISK_LOW:
        yield Limit("disk", f"{size(now.disk_free)} left for the run's state", blocking=True)
    if now.memory_pressure >= _MEMORY_CONTENDED:
        yield Limit("memory", f"contended {now.memory_pressure:.0f}% of the time")
    if now.io_pressure >= _CONTENDED:
        yield Limit("disk I/O", f"contended {now.io_pressure:.0f}% of the time")
    if now.starved >= _STARVED:
        others = f"; other programs use {now.cpu_others:.0f}% of it" if now.cpu_others >= _TAKEN else ""
        yield Limit("CPU", f"commands wait for it {now.starved:.0f}% of the time{others}")
    elif now.cpu_pressure >= _CONTENDED:
        yield Limit("CPU", f"contended {now.cpu_pressure:.0f}% of the time")


def _concurrent_calls(run: Snapshot) -> int:
    """How many model calls may run at once, over all providers that the roles use."""
    providers = settings_in(run.settings).providers
    used = {model.partition(":")[0] for role in Role if (model := run.models.get(role, ""))}
    return sum(providers.get(name, ProviderSettings()).max_concurrent for name in used) or 1

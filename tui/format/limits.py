"""Limits of a run as the screen tells them: what the run may use, and what holds the swarm back right now."""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
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
    TaskState,
    duration_s,
    full_subtrees,
)
from tui.format.numbers import size
from tui.format.view import RunCounts

NEAR = 0.9
"""Share of a budget from which on it stands out."""
_DISK_LOW = 2 << 30
_HOT = 60.0
"""Percent of the time that something waited for the processor, from which on that is told."""
_HOT_MEMORY = 10.0


class Budget(NamedTuple):
    """What the whole run may use; 0 means no limit. `wall` is in microseconds."""

    usd: float = 0.0
    tokens: int = 0
    wall: Micros = 0


class Limit(NamedTuple):
    """A limit that holds the swarm back: which one, and what that means now. `bad` when nothing goes on."""

    name: str
    text: str
    bad: bool = False


@lru_cache(maxsize=4)
def settings_in(text: str) -> Settings:
    """The settings that a run was started with; the defaults where another version wrote what cannot be read."""
    try:
        return msgspec.json.decode(text, type=Settings)
    except msgspec.MsgspecError:
        return Settings()


def budget_of(run: Snapshot) -> Budget:
    """The run's own limits."""
    budget = settings_in(run.settings).budget
    return Budget(budget.usd, budget.tokens, int(duration_s(budget.wall) * 1_000_000) if budget.wall else 0)


def partial_limits(run: Snapshot) -> Iterator[Limit]:
    """Limits of parts of the run: workers below a planner, and budgets of roles and subtrees that run low."""
    for id, places in run.workers_below.items():
        yield Limit("workers", f"≤{places} below {run.agents[id].path}", bad=not places)
    for part, mark in run.budget_marks.items():
        if mark.mark != "room" and part != "run" and not part.startswith("task "):
            how = "used up" if mark.mark == "reached" else "low"
            yield Limit("budget", f"{part.removeprefix('subtree ')} {how}", bad=mark.mark == "reached")


def active_limits(run: Snapshot, counts: RunCounts) -> Iterator[Limit]:
    """Every limit that holds the swarm back now, the hardest first."""
    if run.state in (RunState.PAUSING, RunState.PAUSED):
        yield Limit("paused", "the whole run is held: P resumes it", bad=True)
    for agent in run.agents.values():
        if agent.paused and not agent.ended:
            how = "frozen, with its commands" if agent.frozen else "held"
            yield Limit("paused", f"{agent.path} is {how}: p on it resumes it", bad=agent.parent is None)
    yield from _budgets(run)
    yield from _workers(run, counts)
    yield from _subtrees(run)
    if run.samples and not run.ended:
        yield from _machine(run, run.samples[-1][1])


def _budgets(run: Snapshot) -> Iterator[Limit]:
    for part, mark in run.budget_marks.items():
        if mark.mark != "room":
            yield Limit("budget", f"{part}: {mark.limit}", bad=mark.mark == "reached")


def busy_workers(run: Snapshot) -> int:
    """How many of the places for workers are taken."""
    return run.task_counts[TaskState.WORKING] + run.task_counts[TaskState.LANDING]


def _workers(run: Snapshot, counts: RunCounts) -> Iterator[Limit]:
    queued = run.task_counts[TaskState.QUEUED]
    at_work = busy_workers(run)
    if queued and at_work >= run.workers_limit:
        who = {"settings": "[swarm] workers", "person": "set by a person"}.get(run.workers_limit_by, "the governor")
        why = f": {run.workers_limit_reason}" if run.workers_limit_reason else ""
        taken = f"all {run.workers_limit} places are taken" if run.workers_limit else "no worker may start"
        yield Limit("workers", f"{taken} ({who}{why}); {queued} tasks wait", bad=not run.workers_limit)
    elif queued and (held := run.load_limit) is not None and held.workers is not None and at_work >= held.workers:
        allowed = f"the governor lets {held.workers} workers run" if held.workers else "nothing new starts"
        yield Limit("governor", f"{allowed}: {held.reason}; {queued} tasks wait", bad=not held.workers)
    most = settings_in(run.settings).swarm.max_agents
    if (alive := len(run.agents) - counts.ended) >= most:
        yield Limit("agents", f"{alive} are alive, [swarm] max_agents is {most}")


def _subtrees(run: Snapshot) -> Iterator[Limit]:
    if not run.workers_below:
        return
    at_work, queued = Counter[AgentId](), Counter[AgentId]()
    for task in run.tasks.values():
        at_work[task.planner] += task.state in (TaskState.WORKING, TaskState.LANDING)
        queued[task.planner] += task.state is TaskState.QUEUED
    full = full_subtrees(run, at_work)
    for id, places in run.workers_below.items():
        waiting = sum(queued[below.id] for below in run.subtree(id)) if id in full else 0
        if waiting:
            path = run.agents[id].path
            taken = f"all {places} places below {path} are taken" if places else f"no worker may start below {path}"
            yield Limit("workers", f"{taken} (set by a person); {waiting} tasks wait", bad=not places)


def _machine(run: Snapshot, now: Sample) -> Iterator[Limit]:
    if now.gate_waiting:
        yield Limit("build gate", f"{now.building} builds run, {now.gate_waiting} wait for a place")
    places = _places_for_calls(run)
    if now.model_calls >= places:
        yield Limit("model calls", f"all {places} places are taken ([providers] max_concurrent)")
    if len(run.samples) > 1 and (more := now.rate_limited_s - run.samples[-2][1].rate_limited_s) > 0:
        yield Limit("rate limit", f"the provider made calls wait {more:.0f} s since the last look")
    if now.disk_free < _DISK_LOW:
        yield Limit("disk", f"{size(now.disk_free)} left for the run's state", bad=True)
    if now.memory_pressure >= _HOT_MEMORY:
        yield Limit("memory", f"something waits for memory {now.memory_pressure:.0f}% of the time")
    if now.io_pressure >= _HOT:
        yield Limit("disk I/O", f"something waits for the disk {now.io_pressure:.0f}% of the time")
    if now.cpu_pressure >= _HOT:
        yield Limit("processor", f"something waits for it {now.cpu_pressure:.0f}% of the time")


def _places_for_calls(run: Snapshot) -> int:
    """Model calls that may be under way at once, at all endpoints that the roles use."""
    providers = settings_in(run.settings).providers
    used = {model.partition(":")[0] for role in Role if (model := run.models.get(role, ""))}
    return sum(providers.get(name, ProviderSettings()).max_concurrent for name in used) or 1

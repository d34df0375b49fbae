"""Decides what a budget still allows. The engine enforces it before each model call, not a prompt."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from engine.domain.settings import LimitSettings, Settings
from engine.domain.spending import RUN, BudgetMark, Mark, Part, Spent, of_role, of_subtree, of_task, parts_of
from engine.domain.types import Agent, AgentId, AgentPath, Micros, Role, Task, TaskId
from engine.domain.units import duration_s
from engine.state.snapshot import Snapshot

NEAR = 0.9
"""The share of a limit at which the planners are told."""


class BudgetStatus(Struct, frozen=True):
    """How close a part of the run is to its nearest limit: `share` is 1.0 at the limit, `limit` describes it."""

    part: Part
    share: float
    limit: str

    @property
    def mark(self) -> Mark:
        return Mark.REACHED if self.share >= 1.0 else Mark.NEAR if self.share >= NEAR else Mark.ROOM


def budget_statuses(settings: Settings, snapshot: Snapshot, now: Micros) -> Iterator[BudgetStatus]:
    """The status of every part that has a limit, except tasks."""
    budget = settings.budget
    limited: dict[Part, LimitSettings] = {RUN: budget}
    limited |= {of_role(Role(role)): limits for role, limits in budget.role.items()}
    limited |= {of_subtree(AgentPath(path)): limits for path, limits in budget.subtree.items()}
    for part, limits in limited.items():
        spent = snapshot.spent.get(part)
        if spent is not None or part == RUN:
            yield _status(part, limits, spent or Spent(), snapshot.wall(now), budget.ceiling_price)


def task_budget_status(settings: Settings, snapshot: Snapshot, task: TaskId) -> BudgetStatus:
    """The status of one task, with all its attempts."""
    part = of_task(task)
    limits = LimitSettings(usd=settings.task.max_usd, tokens=settings.task.max_tokens)
    return _status(part, limits, snapshot.spent.get(part, Spent()), 0, settings.budget.ceiling_price)


def reached(snapshot: Snapshot, agent: Agent) -> Part | None:
    """The largest part with a used-up budget that an agent is in."""
    return next((part for part in parts_of(agent) if is_reached(snapshot, part)), None)


def is_held(snapshot: Snapshot, agent: Agent, grace: Mapping[AgentId, int]) -> bool:
    """Whether an agent may make no model call now: a limit of its parts is reached and its grace calls are used."""
    return reached(snapshot, agent) is not None and grace.get(agent.id, 0) <= 0


def used_up(snapshot: Snapshot) -> list[tuple[Part, BudgetMark]]:
    """The parts whose limits are reached, without tasks; the run first."""
    found = [(part, mark) for part, mark in snapshot.budget_marks.items() if mark.mark is Mark.REACHED]
    return sorted((each for each in found if not each[0].startswith("task ")), key=lambda each: each[0] != RUN)


def is_reached(snapshot: Snapshot, part: Part) -> bool:
    """Whether a limit of the part is reached."""
    mark = snapshot.budget_marks.get(part)
    return mark is not None and mark.mark is Mark.REACHED


def may_start(snapshot: Snapshot, task: Task) -> bool:
    """Whether the budgets let a task start. If its own is used up, the next attempt ends it with a handoff."""
    planner = snapshot.agents[task.planner]
    parts = [part for part in parts_of(planner) if part != of_role(planner.role)]
    return not any(is_reached(snapshot, part) for part in (*parts, of_role(task.role)))


def _status(part: Part, limits: LimitSettings, spent: Spent, wall: Micros, ceiling_price: float) -> BudgetStatus:
    shares = [(0.0, "")]
    if limits.usd:
        usd = spent.usd + spent.unpriced * ceiling_price / 1_000_000
        assumed = ", unknown prices at the ceiling price" if spent.unpriced and ceiling_price else ""
        shares.append((usd / limits.usd, f"{usd:.2f} of {limits.usd:.2f} USD{assumed}"))
    if limits.tokens:
        shares.append((spent.tokens / limits.tokens, f"{spent.tokens} of {limits.tokens} tokens"))
    if limits.steps:
        shares.append((spent.steps / limits.steps, f"{spent.steps} of {limits.steps} model calls"))
    if limits.wall:
        wall_s = (wall - spent.since) / 1_000_000
        shares.append((wall_s / duration_s(limits.wall), f"{_duration(wall_s)} of {limits.wall}"))
    share, words = max(shares)
    return BudgetStatus(part, share, words)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

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


GRACE_S = 300.0
"""Seconds for which agents may still hand off once the budget of the run is used up."""
GRACE_SHARE = 0.2
LEAST_GRACE_S = 10.0
"""If the time of the run is limited: this share of it, but at least so many seconds, and at most GRACE_S."""
CALL_SHARE = 0.5
"""The share of the grace after which model calls under way are interrupted, so that the rest is for handing off."""


class BudgetStatus(Struct, frozen=True):
    """How close a part of the run is to its nearest limit: `share` is 1.0 at the limit, `limit` describes it."""

    part: Part
    share: float
    limit: str
    limits: LimitSettings = LimitSettings()

    @property
    def mark(self) -> Mark:
        return Mark.REACHED if self.share >= 1.0 else Mark.NEAR if self.share >= NEAR else Mark.ROOM


def limits_of(settings: Settings) -> dict[Part, LimitSettings]:
    """The limits of the run, and of the roles and subtrees that have some."""
    budget = settings.budget
    own = LimitSettings(usd=budget.usd, tokens=budget.tokens, wall=budget.wall, steps=budget.steps)
    roles = {of_role(Role(role)): limits for role, limits in budget.role.items()}
    return {RUN: own} | roles | {of_subtree(AgentPath(path)): limits for path, limits in budget.subtree.items()}


def limits_of_task(settings: Settings) -> LimitSettings:
    """The limits of each task, with all its attempts."""
    return LimitSettings(usd=settings.task.max_usd, tokens=settings.task.max_tokens)


def limits_for(settings: Settings, agent: Agent) -> dict[Part, LimitSettings]:
    """The limits that an agent's model calls count towards, without those of time alone."""
    known = limits_of(settings)
    if agent.task is not None:
        known[of_task(agent.task)] = limits_of_task(settings)
    inside = {part: known[part] for part in parts_of(agent) if part in known}
    return {part: limits for part, limits in inside.items() if limits.usd or limits.tokens or limits.steps}


def budget_statuses(settings: Settings, snapshot: Snapshot, now: Micros) -> Iterator[BudgetStatus]:
    """The status of every part that has a limit, except tasks."""
    for part, limits in limits_of(settings).items():
        spent = snapshot.spent.get(part)
        if spent is not None or part == RUN:
            yield _status(part, limits, spent or Spent(), snapshot.wall(now), settings.budget.ceiling_price)


def task_budget_status(settings: Settings, snapshot: Snapshot, task: TaskId) -> BudgetStatus:
    """The status of one task, with all its attempts."""
    part = of_task(task)
    spent = snapshot.spent.get(part, Spent())
    return _status(part, limits_of_task(settings), spent, 0, settings.budget.ceiling_price)


def named(limits: LimitSettings) -> str:
    """Limits as text, to tell whether they have changed."""
    return f"usd={limits.usd:g} tokens={limits.tokens} steps={limits.steps} wall={limits.wall}"


def grace_s(limits: LimitSettings) -> float:
    """Seconds for which agents may still hand off once these limits are reached."""
    if not limits.wall:
        return GRACE_S
    return min(GRACE_S, max(LEAST_GRACE_S, GRACE_SHARE * duration_s(limits.wall)))


def call_grace_s(limits: LimitSettings) -> float:
    """Seconds for which a model call that is under way when these limits are reached may go on."""
    return CALL_SHARE * grace_s(limits)


def mark_of(snapshot: Snapshot, status: BudgetStatus) -> Mark:
    """The mark of a part: a limit that left too little for a call stays reached until it is changed."""
    old = snapshot.budget_marks.get(status.part)
    stays = old is not None and old.mark is Mark.REACHED and old.limits == named(status.limits)
    return Mark.REACHED if stays else status.mark


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
    return BudgetStatus(part, share, words, limits)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

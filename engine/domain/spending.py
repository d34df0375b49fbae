"""What has been spent by each part of a run that can have a budget: the run, a role, a subtree, a task."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NewType

from msgspec import Struct
from msgspec.structs import replace

from engine.domain.types import Agent, AgentPath, Micros, Role, TaskId, Usage

Part = NewType("Part", str)
"""A part of a run that can have a budget: `the run`, `role worker`, `subtree root/parser` or `task t1`."""

RUN = Part("the run")


class Spent(Struct, frozen=True):
    """The model calls of a part, and what they used.

    `usd` is for the calls whose price is known, `unpriced` the tokens of the others. `since` is the run's working time
    when the part began.
    """

    usd: float = 0.0
    tokens: int = 0
    unpriced: int = 0
    steps: int = 0
    since: Micros = 0

    def plus(self, usage: Usage) -> "Spent":
        tokens = usage.input + usage.output
        known = usage.usd is not None
        return replace(
            self,
            usd=self.usd + (usage.usd or 0.0),
            tokens=self.tokens + tokens,
            unpriced=self.unpriced + (0 if known else tokens),
            steps=self.steps + 1,
        )


class Mark(StrEnum):
    """How close a part is to its nearest limit."""

    ROOM = "room"
    NEAR = "near"
    REACHED = "reached"


class BudgetMark(Struct, frozen=True):
    """How close a part is to its nearest limit, a description of that limit, and the part's limits at that time."""

    mark: Mark
    limit: str
    at: Micros = 0
    limits: str = ""


def of_role(role: Role) -> Part:
    return Part(f"role {role}")


def of_subtree(path: AgentPath) -> Part:
    return Part(f"subtree {path}")


def of_task(task: TaskId) -> Part:
    return Part(f"task {task}")


def subtrees(path: AgentPath) -> Iterator[Part]:
    """The subtrees that an agent is in, from the root's down to its own."""
    names = path.split("/")
    return (of_subtree(AgentPath("/".join(names[:count]))) for count in range(1, len(names) + 1))


def parts_of(agent: Agent) -> list[Part]:
    """All parts that an agent's model calls count towards."""
    parts = [RUN, of_role(agent.role), *subtrees(agent.path)]
    return parts if agent.task is None else [*parts, of_task(agent.task)]


def began(spent: Mapping[Part, Spent], agent: Agent, wall: Micros) -> dict[Part, Spent]:
    """The parts that begin with an agent, after `wall` microseconds of work on the run."""
    parts = [of_role(agent.role)]
    if agent.role is Role.PLANNER:
        parts.append(of_subtree(agent.path))
    return {part: Spent(since=wall) for part in parts if part not in spent}

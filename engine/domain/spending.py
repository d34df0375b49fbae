"""What the parts of a run have used: the run, a role, a subtree, a task. Pure values that the snapshot folds."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NewType

from msgspec import Struct
from msgspec.structs import replace

from engine.domain.types import Agent, AgentPath, Micros, Role, TaskId, Usage

Part = NewType("Part", str)
"""A part of a run, in words: `the run`, `role worker`, `subtree root/parser`, `task t1`."""

RUN = Part("the run")


class Spent(Struct, frozen=True):
    """Model calls of a part and what they used.

    `usd` is of the calls whose price is known, `unpriced` the tokens of the others; `since` is how long the run had
    been worked on when the part began.
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
    """How a part stands to its nearest limit."""

    ROOM = "room"
    NEAR = "near"
    REACHED = "reached"


class BudgetMark(Struct, frozen=True):
    """Where a part stands, and the limit that says so in words."""

    mark: Mark
    limit: str
    at: Micros = 0


def of_role(role: Role) -> Part:
    return Part(f"role {role}")


def of_subtree(path: AgentPath) -> Part:
    return Part(f"subtree {path}")


def of_task(task: TaskId) -> Part:
    return Part(f"task {task}")


def subtrees(path: AgentPath) -> Iterator[Part]:
    """The subtrees that an agent is in, from the whole tree down to its own."""
    names = path.split("/")
    return (of_subtree(AgentPath("/".join(names[:count]))) for count in range(1, len(names) + 1))


def parts_of(agent: Agent) -> list[Part]:
    """Everything that an agent's calls count against."""
    parts = [RUN, of_role(agent.role), *subtrees(agent.path)]
    return parts if agent.task is None else [*parts, of_task(agent.task)]


def began(spent: Mapping[Part, Spent], agent: Agent, wall: Micros) -> dict[Part, Spent]:
    """The parts that begin with an agent, `wall` microseconds into the run."""
    parts = [of_role(agent.role)]
    if agent.role is Role.PLANNER:
        parts.append(of_subtree(agent.path))
    return {part: Spent(since=wall) for part in parts if part not in spent}

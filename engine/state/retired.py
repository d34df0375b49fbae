"""The counts that ended agents and tasks leave behind when they leave memory."""

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from engine.domain.types import Agent, AgentState, Role, Task, TaskState, Usage

_K = TypeVar("_K")


class Retired(Struct, frozen=True):
    """What has left memory below one planner; the journal has it.

    `tasks` are the planner's own, `below` those of planners that have left, each by state. `agents` and `roles` count
    all agents, `children` only those directly below the planner. `commits` are those of all the tasks, `usage` is the
    sum over all agents.
    """

    tasks: dict[TaskState, int] = {}
    below: dict[TaskState, int] = {}
    agents: dict[AgentState, int] = {}
    roles: dict[Role, int] = {}
    children: dict[Role, int] = {}
    commits: int = 0
    usage: Usage = Usage()

    def all_tasks(self) -> dict[TaskState, int]:
        return added(self.tasks, self.below)

    def __add__(self, other: "Retired") -> "Retired":
        return Retired(
            added(self.tasks, other.tasks),
            added(self.below, other.below),
            added(self.agents, other.agents),
            added(self.roles, other.roles),
            added(self.children, other.children),
            self.commits + other.commits,
            self.usage + other.usage,
        )

    def with_task(self, task: Task) -> "Retired":
        return self + Retired({task.state: 1}, commits=int(task.commit is not None))

    def with_agent(self, agent: Agent, its: "Retired | None" = None) -> "Retired":
        """With an agent directly below the planner, and with `its` counts of what had left memory below that agent."""
        its, role = its or Retired(), {agent.role: 1}
        below = Retired({}, its.all_tasks(), its.agents, its.roles, role, its.commits, its.usage)
        return self + below + Retired(agents={agent.state: 1}, roles=role, usage=agent.usage)


def added(*counts: Mapping[_K, int]) -> dict[_K, int]:
    """The sums of several counts by key."""
    return {
        key: sum(each.get(key, 0) for each in counts) for key in dict.fromkeys(key for each in counts for key in each)
    }

"""What was read back from the journal about agents that have left memory, to be shown beside those in memory."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from engine.domain.events import Event, TaskEnded
from engine.domain.types import Agent, AgentId, CommitId, Handoff, HandoffId, Micros, Task, TaskId
from engine.state.retired import Retired
from engine.state.snapshot import Snapshot

_K = TypeVar("_K", bound=str)
_V = TypeVar("_V")


class Recalled(Struct, frozen=True):
    """Ended agents and the planners above them, with their tasks and handoffs. All are by id, oldest first, so parents
    come before their children.

    `retired` counts what is below each planner among them, `resolved` says when a person resolved a handoff.
    """

    agents: dict[AgentId, Agent] = {}
    tasks: dict[TaskId, Task] = {}
    handoffs: dict[HandoffId, Handoff] = {}
    retired: dict[AgentId, Retired] = {}
    resolved: dict[HandoffId, Micros] = {}

    def __or__(self, other: "Recalled") -> "Recalled":
        return Recalled(
            _sorted(self.agents | other.agents),
            _sorted(self.tasks | other.tasks),
            _sorted(self.handoffs | other.handoffs),
            self.retired | other.retired,
            self.resolved | other.resolved,
        )

    def without(self, run: Snapshot) -> "Recalled":
        """Without what the snapshot has itself."""
        return Recalled(
            {id: agent for id, agent in self.agents.items() if id not in run.agents},
            {id: task for id, task in self.tasks.items() if id not in run.tasks},
            {id: handoff for id, handoff in self.handoffs.items() if id not in run.handoffs},
            {id: retired for id, retired in self.retired.items() if id not in run.agents},
            {id: at for id, at in self.resolved.items() if id not in run.handoffs},
        )

    def put_into(self, run: Snapshot) -> None:
        """Add them to a snapshot that is only shown."""
        run.agents, run.tasks = _sorted(self.agents | run.agents), _sorted(self.tasks | run.tasks)
        run.handoffs, run.resolved = _sorted(self.handoffs | run.handoffs), self.resolved | run.resolved
        run.retired = self.retired | run.retired
        run.paths = {agent.path: id for id, agent in self.agents.items()} | run.paths
        for id, agent in reversed(self.agents.items()):
            if agent.parent is not None:
                run.children[agent.parent] = (id, *run.children.get(agent.parent, ()))
        for task_id, task in reversed(self.tasks.items()):
            run.tasks_of[task.planner] = (task_id, *run.tasks_of.get(task.planner, ()))


async def landed_by(
    run: Snapshot, agent: AgentId, events_of: Callable[[AgentId], Awaitable[Sequence[Event]]]
) -> CommitId | None:
    """The commit that an agent landed, if any. `events_of` reads the newest events of an agent that has left memory."""
    if agent in run.agents:
        task = run.agents[agent].task
        return run.tasks[task].commit if task in run.tasks else None
    bodies = (event.body for event in reversed(await events_of(agent)))
    return next((body.commit for body in bodies if isinstance(body, TaskEnded)), None)


def _sorted(values: dict[_K, _V]) -> dict[_K, _V]:
    """Sorted by id, and so from the oldest to the newest."""
    return dict(sorted(values.items()))

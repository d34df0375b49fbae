"""What the roles need of the running swarm."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.agents.prompts import Prompts
from engine.domain.conversation import Request, Turn
from engine.domain.masking import Mask
from engine.domain.settings import Settings
from engine.domain.types import AgentId
from engine.ports.machine import Gate
from engine.ports.protocols import Clock, Ids, Models, Recorder, Trunk, Workspace, Workspaces
from engine.state.snapshot import Snapshot
from engine.tools.toolbox import Toolbox


class AttemptFailed(Exception):  # noqa: N818 - an outcome, told like an exception
    """The agent will not get to its end by going on; the message says why, fit for its planner."""


class BudgetSpent(Exception):  # noqa: N818 - an outcome, told like an exception
    """The agent may make no more model calls. `of_task`: its task's own limit says so, and no larger part's."""

    def __init__(self, reason: str, of_task: bool) -> None:
        super().__init__(reason)
        self.of_task = of_task


class RunContext(Protocol):
    """What it takes to write events: the run's state and settings, and where times, ids and texts come from."""

    snapshot: Snapshot
    settings: Settings
    clock: Clock
    ids: Ids
    prompts: Prompts


class RunRecorder(RunContext, Recorder, Protocol):
    """The run, and the one way to change it."""


class Host(RunRecorder, Protocol):
    """The swarm as its agents' code sees it. Everything that changes goes through `record`."""

    models: Models
    toolbox: Toolbox
    trunk: Trunk
    workspaces: Workspaces
    gate: Gate
    mask: Mask

    async def safe_point(self, agent: AgentId) -> None:
        """Hold the agent here while it is paused."""
        ...

    async def thawed(self, agent: AgentId) -> None:
        """Hold the agent here while its subtree is frozen."""
        ...

    def freezable(self, agent: AgentId, workspace: Workspace, command: str) -> AbstractAsyncContextManager[None]:
        """While a command of the agent runs: it stands still whenever the agent's subtree is frozen."""
        ...

    def time_limit(self, agent: AgentId, seconds: float) -> AbstractAsyncContextManager[None]:
        """Limit the agent's attempt to so many seconds, without those for which it is held. Raises TimeoutError."""
        ...

    async def message_for(self, agent: AgentId) -> None:
        """Return once the agent's inbox holds a message."""
        ...

    async def ask(self, agent: AgentId, request: Request) -> Turn:
        """Ask the agent's model, within the budget, showing the text to whoever looks at the agent.

        Raises ModelError, and BudgetSpent for an agent at a task.
        """
        ...

    def show(self, agent: AgentId, text: str) -> None:
        """Hand live output of the agent's command to whoever looks at it."""
        ...

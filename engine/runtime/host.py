"""What agents need from the running swarm, as protocols."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.domain.conversation import Request, Turn
from engine.domain.masking import Mask
from engine.domain.settings import Settings
from engine.domain.types import AgentId
from engine.ports.machine import Gate
from engine.ports.protocols import Clock, Ids, Models, Recorder, Trunk, Workspace, Workspaces
from engine.runtime.prompts import Prompts
from engine.state.snapshot import Snapshot
from engine.tools.toolbox import Toolbox


class AttemptFailed(Exception):  # noqa: N818 - an outcome, raised like an exception
    """The agent should not continue. The message tells its planner why."""


class BudgetSpent(Exception):  # noqa: N818 - an outcome, raised like an exception
    """The agent may make no more model calls. `of_task`: because of its task's own limit alone."""

    def __init__(self, reason: str, of_task: bool) -> None:
        super().__init__(reason)
        self.of_task = of_task


class RunContext(Protocol):
    """What is needed to write events: the run's state and settings, and the source of times, ids and texts."""

    snapshot: Snapshot
    settings: Settings
    clock: Clock
    ids: Ids
    prompts: Prompts


class RunRecorder(RunContext, Recorder, Protocol):
    """A run context with the one way to change the run."""


class Host(RunRecorder, Protocol):
    """The swarm as agents see it. Every change to its state goes through `record`."""

    models: Models
    toolbox: Toolbox
    trunk: Trunk
    workspaces: Workspaces
    gate: Gate
    mask: Mask

    async def safe_point(self, agent: AgentId) -> None:
        """Wait while the agent is paused."""
        ...

    async def thawed(self, agent: AgentId) -> None:
        """Wait while the agent's subtree is frozen."""
        ...

    def freezable(self, agent: AgentId, workspace: Workspace, command: str) -> AbstractAsyncContextManager[None]:
        """Run a command of the agent inside this: it is suspended whenever the agent's subtree is frozen."""
        ...

    def time_limit(self, agent: AgentId, seconds: float) -> AbstractAsyncContextManager[None]:
        """Limit the agent's attempt to this time, not counting pauses. Raises TimeoutError."""
        ...

    async def message_for(self, agent: AgentId) -> None:
        """Return once the agent's inbox holds a message."""
        ...

    async def ask(self, agent: AgentId, request: Request) -> Turn:
        """Ask the agent's model, within the budget. The text is streamed to whoever watches the agent.

        Raises ModelError, and BudgetSpent for an agent that works on a task.
        """
        ...

    def show(self, agent: AgentId, text: str) -> None:
        """Stream output of the agent's command to whoever watches the agent."""
        ...

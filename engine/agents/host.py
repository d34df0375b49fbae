"""What the roles need of the running swarm."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.agents.prompts import Prompts
from engine.conversation import Request, Turn
from engine.masking import Mask
from engine.protocols import Checker, Clock, Ids, Models, Recorder, Trunk, Workspace, Workspaces
from engine.settings import Settings
from engine.snapshot import Snapshot
from engine.tools.toolbox import Toolbox
from engine.types import AgentId


class AttemptFailed(Exception):  # noqa: N818 - an outcome, told like an exception
    """The agent will not get to its end by going on; the message says why, fit for its planner."""


class BudgetSpent(Exception):  # noqa: N818 - an outcome, told like an exception
    """The agent may make no more model calls. `of_task`: its task's own limit says so, and no larger part's."""

    def __init__(self, reason: str, of_task: bool) -> None:
        super().__init__(reason)
        self.of_task = of_task


class Gate(Protocol):
    """Lets only so many builds run at once."""

    def pass_for(
        self, command: str, subtree: str, agent: str = ..., on_wait: Callable[[int], None] = ...
    ) -> AbstractAsyncContextManager[float]:
        """Wait for a place if the command builds; gives the seconds waited.

        `on_wait` is told, when there is no place at once, how many others wait.
        """
        ...

    def step_aside(self, command: str) -> Callable[[], None]:
        """Let another build in while this one stands still; what is returned takes the place back."""
        ...


class Host(Recorder, Protocol):
    """The swarm as its agents' code sees it. Everything that changes goes through `record`."""

    snapshot: Snapshot
    settings: Settings
    clock: Clock
    ids: Ids
    models: Models
    prompts: Prompts
    toolbox: Toolbox
    trunk: Trunk
    workspaces: Workspaces
    checker: Checker | None
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

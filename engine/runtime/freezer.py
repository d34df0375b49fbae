"""Suspends the commands that run in frozen subtrees, and continues them: a pause with `freeze`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentId, AgentState
from engine.ports.protocols import Gate, Workspace, WorkspaceLost
from engine.runtime.deadlines import Deadlines
from engine.runtime.recorder import RunRecorder


@dataclass
class _Running:
    """A running command. `unfreeze` is set while it is frozen: it restarts its clock and takes back its gate slot."""

    workspace: Workspace
    command: str
    unfreeze: Callable[[], None] | None = None


class Freezer:
    """Keeps track of every command that agents run."""

    def __init__(self, run: RunRecorder, gate: Gate, deadlines: Deadlines) -> None:
        self._run = run
        self._gate = gate
        self._deadlines = deadlines
        self._running: dict[AgentId, _Running] = {}
        self._one_at_a_time = asyncio.Lock()
        self._settling: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def freezable(self, agent: AgentId, workspace: Workspace, command: str) -> AsyncIterator[None]:
        """Keep track of one command of an agent."""
        running = self._running[agent] = _Running(workspace, command)
        try:
            if self._run.snapshot.is_frozen(agent):  # it was frozen while it waited at the gate
                asyncio.get_running_loop().call_soon(self._settle_soon)
            yield
        finally:
            del self._running[agent]
            if running.unfreeze is not None:
                running.unfreeze()

    def _settle_soon(self) -> None:
        task = asyncio.create_task(self.settle())
        self._settling.add(task)  # a task that nothing refers to can be garbage-collected
        task.add_done_callback(self._settling.discard)

    async def settle(self) -> None:
        """Freeze and thaw commands until they are as the snapshot says."""
        async with self._one_at_a_time:
            for agent, running in list(self._running.items()):
                frozen = self._run.snapshot.is_frozen(agent)
                if frozen == (running.unfreeze is not None) or self._running.get(agent) is not running:
                    continue
                try:
                    await (self._freeze(agent, running) if frozen else self._thaw(agent, running))
                except WorkspaceLost:
                    pass  # the command itself reports it to the agent

    async def _freeze(self, agent: AgentId, running: _Running) -> None:
        start_clock, take_slot_back = self._deadlines.stop_clock(agent), self._gate.step_aside(running.command)

        def unfreeze() -> None:
            running.unfreeze = None
            start_clock()
            take_slot_back()

        running.unfreeze = unfreeze
        await running.workspace.freeze()
        if self._running.get(agent) is running:
            self._state(agent, AgentState.PAUSED, "frozen: ")

    async def _thaw(self, agent: AgentId, running: _Running) -> None:
        await running.workspace.thaw()
        if running.unfreeze is not None:
            running.unfreeze()
        if self._running.get(agent) is running:
            self._state(agent, AgentState.ACTING, "")

    def _state(self, id: AgentId, state: AgentState, mark: str) -> None:
        agent = self._run.snapshot.agents[id]
        if not agent.ended:
            doing = mark + agent.doing.removeprefix("frozen: ")
            self._run.record(Draft(e.AgentStateChanged(state, doing), id, agent.task))

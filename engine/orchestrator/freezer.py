"""Stops the commands that run in frozen subtrees, and lets them run on: what a pause with `freeze` does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from engine.agents.host import RunRecorder
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import AgentId, AgentState
from engine.orchestrator.deadlines import Deadlines
from engine.ports.machine import Gate
from engine.ports.protocols import Workspace, WorkspaceLost


class _Running:
    """A command under way. `go_on` is set while it is frozen: what lets its clocks and its place at the gate be."""

    def __init__(self, workspace: Workspace, command: str) -> None:
        self.workspace = workspace
        self.command = command
        self.go_on: Callable[[], None] | None = None


class Freezer:
    """Knows every command that agents run."""

    def __init__(self, run: RunRecorder, gate: Gate, deadlines: Deadlines) -> None:
        self._run = run
        self._gate = gate
        self._deadlines = deadlines
        self._running: dict[AgentId, _Running] = {}
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def freezable(self, agent: AgentId, workspace: Workspace, command: str) -> AsyncIterator[None]:
        """Around one command of an agent."""
        running = self._running[agent] = _Running(workspace, command)
        try:
            if self._run.snapshot.is_frozen(agent):  # since it waited at the gate
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self.settle()))
            yield
        finally:
            del self._running[agent]
            if running.go_on is not None:
                running.go_on()

    async def settle(self) -> None:
        """Freeze and thaw what the snapshot says; returns when it is done."""
        async with self._one_at_a_time:
            for agent, running in list(self._running.items()):
                frozen = self._run.snapshot.is_frozen(agent)
                if frozen == (running.go_on is not None) or self._running.get(agent) is not running:
                    continue
                try:
                    await (self._freeze(agent, running) if frozen else self._thaw(agent, running))
                except WorkspaceLost:
                    pass  # the agent hears of it from the command itself

    async def _freeze(self, agent: AgentId, running: _Running) -> None:
        clock, place = self._deadlines.stop_clock(agent), self._gate.step_aside(running.command)

        def go_on() -> None:
            running.go_on = None
            clock()
            place()

        running.go_on = go_on
        await running.workspace.freeze()
        if self._running.get(agent) is running:
            self._state(agent, AgentState.PAUSED, "frozen: ")

    async def _thaw(self, agent: AgentId, running: _Running) -> None:
        await running.workspace.thaw()
        if running.go_on is not None:
            running.go_on()
        if self._running.get(agent) is running:
            self._state(agent, AgentState.ACTING, "")

    def _state(self, id: AgentId, state: AgentState, mark: str) -> None:
        agent = self._run.snapshot.agents[id]
        if not agent.ended:
            doing = mark + agent.doing.removeprefix("frozen: ")
            self._run.record(Draft(e.AgentStateChanged(state, doing), id, agent.task))

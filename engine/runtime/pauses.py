"""Holds agents at safe points: those that are paused, planners without budget, and everyone when the run ends."""

import asyncio

from engine.domain import events as e
from engine.domain.events import Draft, Event
from engine.domain.types import AgentId, AgentState, Role, RunState
from engine.runtime.budget_enforcer import BudgetEnforcer
from engine.runtime.deadlines import Deadlines
from engine.runtime.recorder import RunRecorder

ACTIVE = (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
"""The states of an agent between two safe points."""


class Pauses:
    """Agents call `safe_point` between two steps, and wait there while they are held."""

    def __init__(self, run: RunRecorder, budget: BudgetEnforcer, deadlines: Deadlines) -> None:
        self._run = run
        self._budget = budget
        self._deadlines = deadlines
        self._resumed = asyncio.Event()
        self.ending = False
        """Whether the run is ending: then every agent is held."""

    async def safe_point(self, agent: AgentId) -> None:
        """Wait while the agent is held."""
        if not self.holds(agent):
            return
        start_clock = self._deadlines.stop_clock(agent)
        self._run.record(Draft(e.AgentStateChanged(AgentState.PAUSED), agent, self._run.snapshot.agents[agent].task))
        while self.holds(agent):
            await self._resumed.wait()
        start_clock()

    async def thawed(self, agent: AgentId) -> None:
        """Wait while the agent's subtree is frozen."""
        if self._run.snapshot.is_frozen(agent):
            before = self._run.snapshot.agents[agent]
            await self.safe_point(agent)
            self._run.record(Draft(e.AgentStateChanged(AgentState.ACTING, before.doing), agent, before.task))

    def run_changed(self, event: Event, body: e.RunStateChanged) -> None:
        """Wake held agents when the run continues."""
        if body.state is RunState.RUNNING:
            self.wake(event, body)

    def wake(self, event: Event, body: e.Body) -> None:
        """Wake held agents, so that each checks whether it still is."""
        self._resumed.set()
        self._resumed.clear()

    def settle(self) -> None:
        """Turn a pausing run into a paused one once no agent is active."""
        snapshot = self._run.snapshot
        if snapshot.state is RunState.PAUSING and not any(agent.state in ACTIVE for agent in snapshot.agents.values()):
            self._run.record(Draft(e.RunStateChanged(RunState.PAUSED, snapshot.reason)))

    def holds(self, agent: AgentId) -> bool:
        """Whether the agent may not go on now."""
        snapshot = self._run.snapshot
        if self.ending or snapshot.is_paused(agent):
            return True
        return snapshot.agents[agent].role is Role.PLANNER and self._budget.holds(agent)

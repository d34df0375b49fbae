"""Calls models for agents: not while they are paused, within the budget, and again after an outage."""

from dataclasses import dataclass
from functools import partial

from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.errors import BudgetSpent, ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.events import Draft
from engine.domain.types import AgentId, AgentState, ModelName, Role, Usage
from engine.ports.protocols import Models
from engine.runtime.budget_enforcer import BudgetEnforcer
from engine.runtime.deadlines import Deadlines
from engine.runtime.live_text import LiveText
from engine.runtime.pauses import Pauses
from engine.runtime.recorder import RunRecorder

OUTAGE_FIRST = 0.5
OUTAGE_MOST = 5.0
"""The first and the longest wait during a provider's outage, as multiples of the longest wait within one call."""


@dataclass(frozen=True)
class ModelCalls:
    """Model calls of agents. `Models` retries a call by itself; if that fails, the provider has an outage."""

    run: RunRecorder
    models: Models
    budget: BudgetEnforcer
    pauses: Pauses
    deadlines: Deadlines
    live: LiveText

    async def ask(self, agent: AgentId, request: Request) -> Turn:
        """Ask the agent's model, within the budget. The text is streamed to whoever watches the agent.

        Raises ModelError, BudgetSpent for an agent that works on a task, and SwarmError if the provider cannot be
        reached from the start of the run.
        """
        outages = 0
        while True:
            await self._wait_for_permission(agent)
            model = self.run.snapshot.agents[agent].model  # a person may have changed it during an outage
            note_retry = partial(self._note_retry, agent, model)
            try:
                return await self.models.ask(model, request, partial(self.live.show, agent), note_retry)
            except ModelError as error:
                if error.kind is not ModelErrorKind.RETRYABLE:
                    raise
                if not self.run.snapshot.model_calls:
                    hint = "is its server reachable? `swarm-tui doctor` shows its address; then: swarm-tui resume"
                    raise SwarmError(ErrorKind.PROVIDER, error.message, hint, ExitStatus.NOT_GREEN) from error
                wait_s = min(OUTAGE_MOST, OUTAGE_FIRST * 2**outages) * self.models.longest_wait(model)
                note_retry(f"no answer: {error.message}", wait_s, error.usage)
            start_clock = self.deadlines.stop_clock(agent)
            await self.run.clock.sleep(wait_s)
            start_clock()
            outages += 1

    async def _wait_for_permission(self, agent: AgentId) -> None:
        """Wait while the agent is paused, and with a planner while the budget is used up. Raises BudgetSpent."""
        await self.pauses.safe_point(agent)
        while refusal := self.budget.take(agent):
            if self.run.snapshot.agents[agent].role is not Role.PLANNER:
                raise BudgetSpent(refusal, self.budget.of_task_only(agent))
            await self.pauses.safe_point(agent)

    def _note_retry(self, agent: AgentId, model: ModelName, reason: str, seconds: float, spent: Usage) -> None:
        task = self.run.snapshot.agents[agent].task
        waits = e.AgentStateChanged(AgentState.THINKING, f"retries in {seconds:.0f} s: {reason}")
        self.run.record(
            Draft(e.ModelCallRetried(model, reason, seconds, spent), agent, task), Draft(waits, agent, task)
        )

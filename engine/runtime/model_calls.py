"""Calls models for agents: not while they are paused, within the budget, and again after an outage."""

import asyncio
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.errors import (
    BudgetSpent,
    ErrorKind,
    ExitStatus,
    MessagesArrived,
    ModelError,
    ModelErrorKind,
    SwarmError,
)
from engine.domain.events import Draft, Event
from engine.domain.spending import Mark, parts_of
from engine.domain.types import AgentId, AgentState, InboxMessage, ModelName, Role, Usage
from engine.ports.protocols import Models
from engine.runtime.budget_enforcer import BudgetEnforcer
from engine.runtime.deadlines import Deadlines
from engine.runtime.live_text import LiveText
from engine.runtime.pauses import Pauses
from engine.runtime.recorder import RunRecorder

OUTAGE_FIRST = 0.5
OUTAGE_MOST = 5.0
"""The first and the longest wait during a provider's outage, as multiples of the longest wait within one call."""

PATIENCE_S = 120.0
"""Seconds without the end of any call after which an agent no longer waits for what calls under way have reserved."""


class _NoRoom(Exception):  # noqa: N818 - raised to end a call that may not be tried again now
    """The budget has no room for a call, or for its next try."""


class ModelCalls:
    """Model calls of agents. `Models` retries a call by itself; if that fails, the provider has an outage.

    `under_way`: what has arrived of each answer, as far as it is known before the provider reports it.
    """

    def __init__(
        self,
        run: RunRecorder,
        models: Models,
        budget: BudgetEnforcer,
        pauses: Pauses,
        deadlines: Deadlines,
        live: LiveText,
    ) -> None:
        self._run, self._models, self._budget = run, models, budget
        self._pauses, self._deadlines, self._live = pauses, deadlines, live
        self.under_way: dict[AgentId, Usage] = {}
        self._interrupts: dict[AgentId, asyncio.Timeout] = {}
        self._doubted: set[ModelName] = set()
        run.on_event(self._interrupt)

    async def ask(self, agent: AgentId, request: Request, *, with_inbox: bool = True) -> Turn:
        """Ask the agent's model, within the budget. The text is streamed to whoever watches the agent.

        `with_inbox`: the request has the messages that the agent can read. Raises ModelError, MessagesArrived (more
        came before the call was sent: ask again with them), BudgetSpent for an agent that works on a task, and
        SwarmError if the provider cannot be reached from the start of the run, or the budget is too small for any call.
        """
        outages, read = 0, self._run.snapshot.inboxes.get(agent, ())
        while True:
            sized, last = await self._admitted(agent, request, read)

            def start(last: bool = last) -> None:
                if with_inbox and self._run.snapshot.inboxes.get(agent, ()) != read:
                    if last:
                        self._budget.allow_one_more(agent)
                    raise MessagesArrived

            model = self._run.snapshot.agents[agent].model  # a person may have changed it during an outage
            try:
                return await self._ask(agent, model, sized, start)
            except _NoRoom:
                continue
            except ModelError as error:
                if error.kind is not ModelErrorKind.RETRYABLE:
                    raise
                if not self._run.snapshot.model_calls:
                    hint = "is its server reachable? `swarm-tui doctor` shows its address; then: swarm-tui resume"
                    raise SwarmError(ErrorKind.PROVIDER, error.message, hint, ExitStatus.NOT_GREEN) from error
                wait_s = min(OUTAGE_MOST, OUTAGE_FIRST * 2**outages) * self._models.longest_wait(model)
                self._note_retry(agent, model, f"no answer: {error.message}", wait_s, error.usage)
            start_clock = self._deadlines.stop_clock(agent)
            await self._run.clock.sleep(wait_s)
            start_clock()
            outages += 1

    async def _ask(self, agent: AgentId, model: ModelName, request: Request, start: Callable[[], None]) -> Turn:
        """One call with its retries. What it used until it failed or was interrupted is recorded or in the error."""
        try:
            async with asyncio.timeout(None) as interrupt:
                self._interrupts[agent] = interrupt
                show, retry = partial(self._live.show, agent), partial(self._retry, agent, model)
                turn = await self._models.ask(model, request, show, retry, partial(self._streamed, agent), start)
        except TimeoutError:
            self._note_unfinished(agent, model, "interrupted: the budget is used up")
            raise _NoRoom from None
        except asyncio.CancelledError:
            self._note_unfinished(agent, model, "interrupted")
            raise
        except ModelError as error:
            if error.kind is not ModelErrorKind.RETRYABLE and error.usage.input:
                self._note_retry(agent, model, error.message, 0.0, error.usage, shown=False)
            raise
        else:
            self._budget.completed(agent, turn.usage)
            if turn.doubt and model not in self._doubted:
                self._doubted.add(model)
                self._run.record(Draft(e.Warned(f"{model} reports an impossible use: {turn.doubt}"), agent))
            return turn
        finally:
            self._interrupts.pop(agent, None)
            self.under_way.pop(agent, None)
            self._budget.release(agent)

    async def _admitted(self, agent: AgentId, request: Request, read: tuple[InboxMessage, ...]) -> tuple[Request, bool]:
        """The request with an answer that the budget allows, and whether it is one of the agent's last.

        Waits while the agent is paused, while calls under way have reserved what is left, and with a planner while the
        budget is used up. Raises BudgetSpent, and MessagesArrived if the agent, whose inbox was `read`, has been told
        to hand off.
        """
        await self._pauses.safe_point(agent)
        start_clock = self._deadlines.stop_clock(agent)
        patient = True
        try:
            while True:
                model = self._run.snapshot.agents[agent].model

                def most(output: int, model: ModelName = model) -> Usage:
                    return self._models.most(model, replace(request, max_output=output))

                admission = self._budget.reserve(agent, request.max_output, most, patient=patient)
                if admission.last and self._run.snapshot.inboxes.get(agent, ()) != read:
                    self._budget.give_back(agent)
                    raise MessagesArrived
                if admission.output:
                    return replace(request, max_output=admission.output), admission.last
                if admission.too_small:
                    hint = f"the first call may need {admission.need}: raise the limit, then: swarm-tui resume"
                    message = f"the budget is too small for one model call: {admission.refusal}"
                    raise SwarmError(ErrorKind.USAGE, message, hint, ExitStatus.BUDGET)
                if not admission.refusal:
                    patient = await self._released()
                elif self._run.snapshot.agents[agent].role is not Role.PLANNER:
                    raise BudgetSpent(admission.refusal, self._budget.of_task_only(agent))
                await self._pauses.safe_point(agent)
        finally:
            start_clock()

    async def _released(self) -> bool:
        """Wait for the end of a call; returns False if none ends."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._budget.released.wait()
        except TimeoutError:
            return False
        return True

    def _streamed(self, agent: AgentId, usage: Usage) -> None:
        self.under_way[agent] = usage
        if self._budget.streamed(agent, usage):
            self._interrupts[agent].reschedule(asyncio.get_running_loop().time())

    def _interrupt(self, event: Event) -> None:
        """A limit is reached: calls under way in its part have a grace, then they are interrupted."""
        body = event.body
        if not isinstance(body, e.BudgetMarked) or body.mark is not Mark.REACHED:
            return
        end = asyncio.get_running_loop().time() + self._budget.call_grace_s(body.part)
        for agent, interrupt in self._interrupts.items():
            if body.part in parts_of(self._run.snapshot.agents[agent]):
                interrupt.reschedule(min(interrupt.when() or end, end))

    def _retry(self, agent: AgentId, model: ModelName, reason: str, seconds: float, spent: Usage) -> None:
        """Record a failed try. Raises _NoRoom if the budget has no room for the next."""
        self.under_way.pop(agent, None)
        self._note_retry(agent, model, reason, seconds, spent)
        if not self._budget.has_room(agent):
            raise _NoRoom

    def _note_unfinished(self, agent: AgentId, model: ModelName, reason: str) -> None:
        """Record what a call has used that does not end by itself, as far as it has arrived."""
        used = self.under_way.get(agent)
        if used is not None and used.input:
            self._note_retry(agent, model, reason, 0.0, used, shown=False)

    def _note_retry(
        self, agent: AgentId, model: ModelName, reason: str, seconds: float, spent: Usage, *, shown: bool = True
    ) -> None:
        """Record a failed try. `shown`: the agent waits for the next one."""
        task = self._run.snapshot.agents[agent].task
        retried = Draft(e.ModelCallRetried(model, reason, seconds, spent), agent, task)
        waits = e.AgentStateChanged(AgentState.THINKING, f"retries in {seconds:.0f} s: {reason}")
        self._run.record(retried, *([Draft(waits, agent, task)] if shown else []))

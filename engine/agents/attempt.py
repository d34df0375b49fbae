"""One attempt at a task, as a pipeline of named steps.

begin     spawn an agent for the task; or continue an attempt that an earlier process began
prepare   give it a workspace on the newest trunk and its first message, or the ones that it had
work      run its loop until a handoff is accepted
hand off  check each handoff and land its change; a conflict goes back to the loop, later to a resolver
deliver   record landing, handoff and the end of the task together
settle    if anything stops the attempt before that, end the task or put it back into the queue
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from engine.agents import cancellation, conflicts, landing, outcomes
from engine.agents.commit_ids import task_in_copy, translated
from engine.agents.handoffs import engine_text
from engine.agents.inheritance import built_on, inherited
from engine.agents.loop import Loop
from engine.agents.markdown import bullets
from engine.agents.openings import repair_opening, task_opening
from engine.agents.past import Past
from engine.agents.resolver import latest_resolver, resolve
from engine.agents.spawning import repository_notes, spawned, task_loop
from engine.agents.surroundings import surrounded
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.errors import AttemptFailed, BudgetSpent, ErrorKind, ModelError, ModelErrorKind, SwarmError
from engine.domain.events import Draft
from engine.domain.units import duration_s
from engine.ports.protocols import LandResult, WorkspaceLost
from engine.runtime.host import Host
from engine.tools.tool import Answer, refused

OWN_RESOLUTIONS = 2
"""Failed resolutions after which a resolver takes the conflict over from the worker."""
TROUBLE = 5
"""Attempts in a row that machine trouble may end before the run stops; it can be resumed."""

log = logging.getLogger("swarm")


@dataclass
class MachineTrouble:
    """How many attempts in a row, at any task, have ended because of the machine, the disk or git."""

    in_a_row: int = 0


class Attempt:
    """One attempt at one task, by one agent. `continues`: an earlier process began it."""

    def __init__(
        self, host: Host, task: t.TaskId, agent: t.AgentId, trouble: MachineTrouble, *, continues: bool = False
    ) -> None:
        self.host = host
        self.task_id = task
        self.agent = agent
        self.context: AgentToolContext | None = None
        self._trouble = trouble
        self._continues = continues
        self._past: Past | None = None
        self._conflicts = 0
        """Conflicts that the agent was told of."""
        self._failed_resolutions = 0

    @classmethod
    def begin(cls, host: Host, task: t.Task, trouble: MachineTrouble) -> "Attempt":
        """Spawn an agent for the task's next attempt."""
        agent = spawned(host, task, task.role)
        host.record(
            Draft(e.AgentSpawned(agent), agent.id, task.id),
            Draft(e.TaskStarted(agent.id, agent.attempt), agent.id, task.id),
        )
        return cls(host, task.id, agent.id, trouble)

    @classmethod
    def resume(cls, host: Host, task: t.Task, trouble: MachineTrouble) -> "Attempt":
        """Continue the task's attempt, which an earlier process began."""
        assert task.agent is not None
        host.record(Draft(e.AgentStateChanged(t.AgentState.ACTING, "continues"), task.agent, task.id))
        host.budget.renew_grace(task.agent)
        return cls(host, task.id, task.agent, trouble, continues=True)

    @property
    def task(self) -> t.Task:
        return self.host.snapshot.tasks[self.task_id]

    async def run(self) -> None:
        """All steps after the first, until the task has ended or is queued again. Raises only what ends the run."""
        try:
            past = await self._read_past()
            time_left_s = duration_s(self.host.settings.task.timeout) - past.worked_s
            async with self.host.deadlines.limit(self.agent, max(0.0, time_left_s)):
                kept = self.host.workspaces.kept.get(self.agent) if past.conversation.turns else None
                commit = kept or await self.host.trunk.tip()
                self.context = AgentToolContext(self.host, self.agent, commit, self._hand_off, past)
                await (await self._prepare(self.context, past)).run(restarted=self._continues)
        except Exception as error:
            self._settle(error)
        finally:
            if self.context is not None:
                await self.context.end()

    # --- prepare ---------------------------------------------------------------------------------------------

    async def _read_past(self) -> Past:
        if not self._continues:
            return Past.of(self.host, ())
        self._past = past = await Past.read(self.host, self.agent)
        self._conflicts, self._failed_resolutions = past.conflicts, past.failed_resolutions
        return past

    async def _prepare(self, context: AgentToolContext, past: Past) -> Loop:
        notes = await repository_notes(self.host, context.commit)
        earlier = await inherited(self.host, self.task)
        await task_in_copy(context, self.task)
        before = await built_on(self.host, self.task)

        def opening() -> str:
            fixup = self.task.kind is t.TaskKind.FIXUP
            text = (
                repair_opening(self.task, notes, earlier) if fixup else task_opening(self.task, notes, before, earlier)
            )
            return surrounded(translated(text, context.shown), self.host, self.agent)

        return await task_loop(self.host, context, self.task.role, opening, past.conversation)

    # --- hand off --------------------------------------------------------------------------------------------

    async def _hand_off(self, context: AgentToolContext, text: t.HandoffText) -> Answer:
        if unread := self.host.snapshot.inboxes.get(self.agent):
            self.host.budget.allow_one_more(self.agent)
            return refused(f"not yet: read the messages that follow first (unread: {len(unread)})")
        if text.status is t.HandoffStatus.FAILED:
            return Answer("accepted", drafts=outcomes.failed(self.host, self.task, text), ends=True)
        if self._past is not None and (resolver := latest_resolver(self.host, self.task)) is not None:
            if self._past.untold is not None:  # the conflict that it resolves
                context.meets(self._past.untold)
            return await self._resolve(context, text, resolver)
        if (untold := conflicts.untold_conflict(self._past, context.opened)) is not None:
            return await self._conflict(context, text, untold)
        if marked := await conflicts.still_marked(context.opened, context.conflicting):
            self._failed_resolutions += 1
            return await self._conflict_again(context, text, self.host.prompts["markers"].render(paths=bullets(marked)))
        result, told = await landing.land(self.host, self.task, context, text)
        if result.state is t.LandingState.REFUSED:
            return refused(f"refused: {result.reason}; call submit_handoff again")
        if result.state is not t.LandingState.CONFLICTED:
            return self._deliver(result, told)
        return await self._conflict(context, text, result)

    async def _conflict(self, context: AgentToolContext, text: t.HandoffText, found: LandResult | t.Landing) -> Answer:
        """Answer a landing that found a conflict, which is in the workspace."""
        self._failed_resolutions += bool(self._conflicts)
        self._conflicts += 1
        context.meets(found)
        message = await conflicts.conflict(self.host, await context.workspace(), found)
        return await self._conflict_again(context, text, message)

    async def _conflict_again(self, context: AgentToolContext, text: t.HandoffText, message: str) -> Answer:
        """Give the conflict back to the agent with a message, or after OWN_RESOLUTIONS to a resolver."""
        if self._failed_resolutions < OWN_RESOLUTIONS:
            return refused(message)
        return await self._resolve(context, text, None)

    async def _resolve(self, context: AgentToolContext, text: t.HandoffText, resolver: t.Agent | None) -> Answer:
        """Have a resolver land the change: a new one, or the one that an earlier process started."""
        if await resolve(self.host, self.task, context, text, resolver):
            return Answer("landed: resolved", ends=True)
        lost = engine_text(
            "Nothing was landed: the change conflicts with newer work on trunk, "
            "and neither its worker nor a resolver could merge the two.",
            notes=text.summary,
            concerns=bullets(context.conflicting),
            findings=text.found,
        )
        return Answer("not landed", drafts=outcomes.given_up(self.host, self.task, lost), ends=True)

    # --- deliver ---------------------------------------------------------------------------------------------

    def _deliver(self, result: LandResult, told: Callable[[t.LandingState], str]) -> Answer:
        drafts = outcomes.landed(self.host, self.task, result)
        body = drafts[0].body
        state = body.landing.state if isinstance(body, e.LandingFinished) else result.state
        return Answer(told(state), drafts=drafts, ends=True)

    # --- settle ----------------------------------------------------------------------------------------------

    def _settle(self, error: Exception) -> None:
        """Record what an error means for the task. Raises errors that end the run."""
        match error:
            case ModelError(kind=ModelErrorKind.REFUSED):
                raise error
            case ModelError():
                self._failed(f"the model gave no answer: {error.message}")
            case TimeoutError():
                self._failed(f"it took longer than {self.host.settings.task.timeout}")
            case BudgetSpent():
                self._out_of_budget(error)
            case SwarmError() | OSError():
                self._spoiled(error)
            case WorkspaceLost() if self._continues and (self.context is None or self.context.opened is None):
                self._lost(f"its workspace cannot be continued: {error}")
            case AttemptFailed() | WorkspaceLost():
                self._failed(str(error))
            case _:  # a bug in this program costs one attempt, not the run
                log.exception("attempt at %s", self.task_id)
                self._failed(f"a bug in swarm-tui: {type(error).__name__}: {error}")

    def _failed(self, reason: str) -> None:
        if not self.task.ended:
            self.host.record(*outcomes.attempt_failed(self.host, self.task, reason))

    def _lost(self, reason: str) -> None:
        """Begin again, through no fault of the task."""
        if not self.task.ended:
            self.host.record(*outcomes.attempt_lost(self.host, self.task, reason, counts=False))

    def _out_of_budget(self, spent: BudgetSpent) -> None:
        """At its own limit a task fails. At the limit of a larger part it waits until the budget is raised."""
        if self.task.ended:
            return
        if spent.of_task:
            self.host.record(*outcomes.given_up(self.host, self.task, engine_text(str(spent))))
        else:
            self._lost(str(spent))

    def _spoiled(self, error: SwarmError | OSError) -> None:
        """The machine, the disk or git failed, not the task: retry later, or end the run if that does not stop."""
        self._trouble.in_a_row += 1
        if self._trouble.in_a_row > TROUBLE or (isinstance(error, SwarmError) and error.kind is ErrorKind.PROVIDER):
            raise error
        if not self.task.ended:
            wait_s = 2.0**self._trouble.in_a_row
            self.host.record(*outcomes.attempt_lost(self.host, self.task, str(error), wait_s=wait_s))

    def settle_cancelled(self) -> None:
        """End the agents of a cancelled attempt, which may not have begun yet, and hand off to its planner."""
        task = self.task
        drafts: list[Draft] = []
        if not task.ended:
            task = replace(task, reason=task.unwanted or "cancelled")
            ended = e.TaskEnded(t.TaskState.CANCELLED, task.reason, intent=task.cancelled_under)
            drafts.append(Draft(ended, self.agent, task.id))
        drafts.extend(cancellation.cancelled_handoff(self.host, task))
        drafts.extend(outcomes.agents_ended(self.host, task, task.reason, t.AgentState.CANCELLED))
        self.host.record(*drafts)

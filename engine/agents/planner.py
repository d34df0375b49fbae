"""A planner: it plans, waits for messages, hands off, and is woken again by later messages."""

import logging

from msgspec.structs import replace

from engine.agents import cancellation
from engine.agents.conversation_log import Conversation
from engine.agents.handoffs import slice_delivered
from engine.agents.loop import Loop
from engine.agents.openings import intent_opening, pinned, slice_opening
from engine.agents.spawning import intent_file, repository_notes
from engine.agents.surroundings import surrounded
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain.errors import AttemptFailed, ModelError, ModelErrorKind
from engine.domain.events import Draft
from engine.domain.types import (
    Agent,
    AgentId,
    AgentState,
    HandoffStatus,
    HandoffText,
    Intent,
    Pathology,
    TaskState,
    Usage,
)
from engine.policy.notes import ABOUT_INTENT, before_planning
from engine.policy.pathologies import found
from engine.policy.task_order import DECIDE
from engine.ports.protocols import WorkspaceLost
from engine.runtime.host import Host
from engine.tools.tool import Answer, faulted, refused

RESTARTS = 2
WINDOW_S = 3_600.0
"""A planner that fails is restarted with a fresh context, at most RESTARTS times within WINDOW_S seconds."""
ENDED_AFTER_FAILURE = 200
"""How many ended tasks and subplanners, the newest, a planner sees after a restart with a fresh context."""
RESTART_S = 5.0
"""Seconds before the first restart; doubled for each further one."""

log = logging.getLogger("swarm")

CHECK_FAILS = (
    "not yet: the project's check fails on the newest trunk, and fixups did not repair it; "
    "spawn tasks that fix it, or hand off `partial` and say what is left"
)


class Planner:
    """A planner at work, root or not: from its first message, or from one that wakes it, until it has handed off."""

    def __init__(self, host: Host, agent: AgentId) -> None:
        self.host = host
        self.agent_id = agent
        self.conversation = Conversation()
        self._failures: list[float] = []

    @property
    def agent(self) -> Agent:
        return self.host.snapshot.agents[self.agent_id]

    async def run(self) -> None:
        """Continue the conversation in the journal, if there is one; plan until it hands off, fails or is cancelled."""
        await self.host.durable(self.host.snapshot.seq)
        for event in await self.host.journal.agent_events(self.agent_id):
            self.conversation.apply(event)
        kept = self.host.workspaces.kept.get(self.agent_id)
        context = AgentToolContext(self.host, self.agent_id, kept or await self.host.trunk.tip(), self._hand_off)
        restarted = bool(self.conversation.turns) and self.agent.state not in (AgentState.DONE, AgentState.WAITING)
        try:
            if kept is not None:
                await self._reopen(context)
            while self.agent.state is not AgentState.FAILED:
                if self.agent.state is AgentState.DONE:
                    await context.close()
                    if not self.host.snapshot.inboxes.get(self.agent_id):
                        return
                    self.conversation.start_over()
                if context.opened is None or not restarted:
                    await context.follow(await self.host.trunk.tip())
                await self._plan(context, restarted=restarted)
                restarted = False
        finally:
            await context.end()

    async def _reopen(self, context: AgentToolContext) -> None:
        """Open the workspace that the planner had in an earlier process, if it can be used."""
        try:
            await context.workspace()
        except WorkspaceLost as error:
            log.warning("%s gets a new workspace: %s", self.agent.path, error)

    async def _plan(self, context: AgentToolContext, *, restarted: bool) -> None:
        """Work until the next handoff. After a failure, start again with a fresh context, or give up."""
        try:
            await (await self._loop(context)).run(restarted=restarted)
        except (AttemptFailed, ModelError, WorkspaceLost) as error:
            if isinstance(error, ModelError) and error.kind is ModelErrorKind.REFUSED:
                raise
            await context.close()
            now = self.host.clock.monotonic()
            self._failures = [*(at for at in self._failures if now - at < WINDOW_S), now]
            if len(self._failures) > RESTARTS:
                self._fail(str(error))
                return
            self.host.record(
                Draft(e.Warned(f"{self.agent.path} was restarted with a fresh context: {error}"), self.agent_id)
            )
            fresh = e.ContextCompacted(await self._restarted_opening(), Usage())
            self.host.record(Draft(fresh, self.agent_id))
            self.conversation = Conversation()
            self.conversation.apply(e.Event(0, 0, 0, fresh, self.agent_id))
            await self.host.clock.sleep(RESTART_S * 2 ** (len(self._failures) - 1))

    async def _loop(self, context: AgentToolContext) -> Loop:
        host = self.host
        prompt = host.prompts["root_planner" if self.agent.parent is None else "subplanner"]
        tip = await host.trunk.tip()
        notes, file = await repository_notes(host, tip), await intent_file(host, tip, self._intent)
        system = prompt.render(root=(await context.workspace()).root)
        steps = host.settings.planner.max_steps
        return Loop(host, context, prompt, system, lambda: self._opening(notes, file), steps, self.conversation)

    @property
    def _intent(self) -> Intent:
        assert self.host.snapshot.intent is not None
        return self.host.snapshot.intent

    def _opening(self, notes: str, file: str) -> str:
        """The first message, with the intent and scope as they are now."""
        if self.agent.parent is not None:
            return surrounded(slice_opening(self.agent, self._intent, notes, file), self.host, self.agent_id)
        opening = surrounded(intent_opening(self._intent, notes, file), self.host, self.agent_id)
        if self.host.answers_awaited and before_planning(self.host.snapshot, self.agent):
            return f"{opening}\n\n{self.host.prompts['may_ask'].render(most=ABOUT_INTENT)}"
        return opening

    async def _restarted_opening(self) -> str:
        """The first message of a fresh context, with the planner's notes and the state of its work."""
        tip = await self.host.trunk.tip()
        notes, file = await repository_notes(self.host, tip), await intent_file(self.host, tip, self._intent)
        return pinned(self.host, self.agent_id, self._opening(notes, file), ended=ENDED_AFTER_FAILURE)

    async def _hand_off(self, context: AgentToolContext, text: HandoffText) -> Answer:
        snapshot, me = self.host.snapshot, self.agent_id
        tasks, planners = snapshot.open_tasks(me), snapshot.open_subplanners(me)
        messages = snapshot.inboxes.get(me, ())
        if tasks or planners:
            held = sum(task.state is TaskState.HELD for task in tasks)
            open_ends = f"tasks outstanding: {len(tasks)}{f' (held: {held})' if held else ''}"
            open_ends += f", subplanners outstanding: {len(planners)}"
            finding = found(snapshot, me, Pathology.CLAIMS_COMPLETION, f"hands off with {open_ends}")
            decide = f"held tasks: {DECIDE}; " if held else ""
            return faulted(finding, f"not yet: {open_ends}; {decide}wait for the rest, or cancel what is not needed")
        if messages:
            self.host.budget.allow_one_more(me)
            return refused(f"not yet: read the messages that follow first (unread: {len(messages)})")
        seen: tuple[Draft, ...] = ()
        if self.agent.parent is None and text.status is HandoffStatus.DONE and self._stays_with_red_check():
            finding = found(snapshot, me, Pathology.CLAIMS_COMPLETION, "hands off `done` while the check fails")
            if not finding.limited:
                return Answer(CHECK_FAILS, error=True, drafts=(finding.draft,))
            seen = (finding.draft,)
            text = replace(text, status=HandoffStatus.PARTIAL, concerns=_with_red_check(text.concerns))
        done = Draft(e.AgentStateChanged(AgentState.DONE), me)
        return Answer("accepted", drafts=(*seen, *slice_delivered(self.host, self.agent, text), done), ends=True)

    def _stays_with_red_check(self) -> bool:
        """Whether the check fails on the newest trunk and the reconciler makes no further fixups."""
        snapshot = self.host.snapshot
        check = snapshot.last_check
        known = check is not None and not check.passed and check.commit == snapshot.trunk
        return known and (snapshot.given_up or snapshot.green is None)

    def _fail(self, reason: str) -> None:
        """Give up: cancel everything below and hand off to the planner above."""
        text = HandoffText(HandoffStatus.FAILED, f"The planner of this slice could not continue: {reason}")
        self.host.record(
            *cancellation.everything_below(self.host, self.agent_id, "its planner failed"),
            *slice_delivered(self.host, self.agent, text, by_engine=True),
            Draft(e.AgentStateChanged(AgentState.FAILED, reason=reason), self.agent_id),
        )


def _with_red_check(concerns: str) -> str:
    return f"{concerns}\n\nThe project's check fails on trunk." if concerns.strip() else "The check fails on trunk."

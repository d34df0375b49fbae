"""The resolver: a fresh agent that resolves a conflict after the change's own worker has failed to."""

from dataclasses import dataclass

from engine.agents import conflicts, landing, outcomes
from engine.agents.commit_ids import task_in_copy, translated
from engine.agents.markdown import bullets
from engine.agents.openings import conflict_opening
from engine.agents.past import Past
from engine.agents.spawning import repository_notes, spawned, task_loop
from engine.agents.surroundings import surrounded
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain.errors import AttemptFailed, ModelError, ModelErrorKind
from engine.domain.events import Draft
from engine.domain.types import (
    Agent,
    AgentState,
    HandoffStatus,
    HandoffText,
    Landing,
    LandingState,
    Role,
    Task,
    TaskId,
)
from engine.ports.protocols import LandResult, WorkspaceError, WorkspaceLost
from engine.runtime.host import Host
from engine.tools.tool import Answer, refused

TRIES = 4
"""Times that the resolver may offer a resolution."""


@dataclass
class Resolution:
    """One resolver's work on one task's conflict. `landed`: whether its resolution has landed.

    `past` is what it did in an earlier process, if that began it.
    """

    host: Host
    task: TaskId
    text: HandoffText
    past: Past | None = None
    landed: bool = False
    tries: int = 0

    async def hand_off(self, context: AgentToolContext, text: HandoffText) -> Answer:
        if unread := self.host.snapshot.inboxes.get(context.agent.id):
            self.host.budget.allow_one_more(context.agent.id)
            return refused(f"not yet: read the messages that follow first (unread: {len(unread)})")
        ended = Draft(e.AgentStateChanged(AgentState.DONE), context.agent.id, self.task)
        if text.status is HandoffStatus.FAILED:
            return Answer("accepted", drafts=(ended,), ends=True)
        if (untold := conflicts.untold_conflict(self.past, context.opened)) is not None:
            return await self._conflict(context, untold, ended)
        if marked := await conflicts.still_marked(context.opened, context.conflicting):
            return refused(self.host.prompts["markers"].render(paths=bullets(marked)))
        task = self.host.snapshot.tasks[self.task]
        result, told = await landing.land(self.host, task, context, self.text)
        if result.state in (LandingState.MERGED, LandingState.EMPTY):
            # The worker's handoff is recorded with it: nothing may come between a landing and its record.
            self.landed = True
            drafts = (*outcomes.landed(self.host, task, result), ended)
            return Answer(told(LandingState.RESOLVED), drafts=drafts, ends=True)
        if result.state is LandingState.REFUSED:
            return refused(f"refused: {result.reason}; call submit_handoff again")
        return await self._conflict(context, result, ended)

    async def _conflict(self, context: AgentToolContext, found: LandResult | Landing, ended: Draft) -> Answer:
        """Answer a landing that found another conflict, which is in the workspace."""
        self.tries += 1
        if self.tries >= TRIES:
            return Answer("not landed", error=True, drafts=(ended,), ends=True)
        context.meets(found)
        return refused(await conflicts.conflict(self.host, await context.workspace(), found))


def latest_resolver(host: Host, task: Task) -> Agent | None:
    """The newest resolver of the task's attempt."""
    agents = host.snapshot.agents.values()
    ours = (each for each in agents if each.task == task.id and each.role is Role.RESOLVER)
    return next((each for each in reversed(list(ours)) if each.attempt == task.attempt), None)


async def resolve(host: Host, task: Task, worker: AgentToolContext, text: HandoffText, earlier: Agent | None) -> bool:
    """Have a resolver resolve the conflict in a worker's workspace. Returns whether the task has landed.

    The resolver starts from what the workspace holds: the newest trunk, with both sides of the conflict. `earlier` is
    one that an earlier process started: it continues, unless its workspace is gone.
    """
    workspace, paths = await worker.workspace(), worker.conflicting
    if earlier is not None and earlier.ended:
        return False
    agent, past = earlier, await _past_of(host, earlier) if earlier is not None else None
    if agent is not None and agent.steps and agent.id not in host.workspaces.kept:
        gone = e.AgentStateChanged(AgentState.FAILED, reason="its workspace is gone: another resolver begins")
        host.record(Draft(gone, agent.id, task.id))
        agent = past = None
    if agent is None:
        agent = spawned(host, task, Role.RESOLVER)
        host.record(Draft(e.AgentSpawned(agent), agent.id, task.id))
    resolution = Resolution(host, task.id, text)
    began = past is not None and past.conversation.turns > 0
    if past is not None and began:
        resolution.past, resolution.tries = past, past.conflicts
    base = host.workspaces.kept[agent.id] if began else workspace.base
    context = AgentToolContext(host, agent.id, base, resolution.hand_off, past if began else None)
    context.conflicting = context.conflicting or paths
    try:
        if not began:
            merged = await workspace.commit(task.spec.title)
            await (await context.workspace()).advance(merged, base)
        notes, me = await repository_notes(host, base), agent.id
        trunk = await conflicts.other_side(host, workspace, worker.since, paths)
        await task_in_copy(context, host.snapshot.tasks[task.id])

        def opening() -> str:
            told = conflict_opening(host.snapshot.tasks[task.id], text, paths, trunk, notes)
            return surrounded(translated(told, context.shown), host, me)

        conversation = past.conversation if past is not None else None
        loop = await task_loop(host, context, Role.RESOLVER, opening, conversation)
        await loop.run(restarted=began)
    except (AttemptFailed, ModelError, WorkspaceLost, WorkspaceError) as error:
        if isinstance(error, ModelError) and error.kind is ModelErrorKind.REFUSED:
            raise
        host.record(Draft(e.AgentStateChanged(AgentState.FAILED, reason=str(error)), agent.id, task.id))
    finally:
        await context.end()
    return resolution.landed


async def _past_of(host: Host, resolver: Agent) -> Past:
    """What an earlier process recorded of a resolver. Its landings are recorded as those of the task's worker."""
    own = await host.journal.agent_events(resolver.id)
    worker = host.snapshot.tasks[resolver.task].agent if resolver.task is not None else None
    theirs = await host.journal.agent_events(worker) if worker is not None else []
    landings = (event for event in theirs if isinstance(event.body, e.LandingFinished) and event.seq > own[0].seq)
    return Past.of(host, sorted((*own, *landings), key=lambda event: event.seq))

"""The resolver: a fresh agent that resolves a conflict after the change's own worker has failed to."""

from dataclasses import dataclass

from engine.agents import landing, outcomes
from engine.agents.markdown import bullets
from engine.agents.openings import conflict_opening
from engine.agents.spawning import repository_notes, spawned, task_loop
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain.errors import AttemptFailed, ModelError, ModelErrorKind
from engine.domain.events import Draft
from engine.domain.types import AgentState, HandoffStatus, HandoffText, LandingState, Role, Task, TaskId
from engine.ports.protocols import Workspace, WorkspaceError, WorkspaceLost
from engine.runtime.host import Host
from engine.tools.tool import Answer, refused

TRIES = 4
"""Times that the resolver may offer a resolution."""


@dataclass
class Resolution:
    """One resolver's work on one task's conflict. `landed`: whether its resolution has landed."""

    host: Host
    task: TaskId
    text: HandoffText
    marked: tuple[str, ...]
    landed: bool = False
    tries: int = 0

    async def hand_off(self, context: AgentToolContext, text: HandoffText) -> Answer:
        ended = Draft(e.AgentStateChanged(AgentState.DONE), context.agent.id, self.task)
        if text.status is HandoffStatus.FAILED:
            return Answer("accepted", drafts=(ended,), ends=True)
        if marked := await landing.still_marked(context.opened, self.marked):
            return refused(self.host.prompts["markers"].render(paths=bullets(marked)))
        task = self.host.snapshot.tasks[self.task]
        result = await landing.land(self.host, task, context, self.text)
        if result.state in (LandingState.MERGED, LandingState.EMPTY):
            # The worker's handoff is recorded with it: nothing may come between a landing and its record.
            self.landed = True
            answer = landing.NO_CHANGE if result.commit is None else "landed: resolved"
            return Answer(answer, drafts=(*outcomes.landed(self.host, task, result), ended), ends=True)
        self.tries += 1
        if self.tries >= TRIES:
            return Answer("not landed", error=True, drafts=(ended,), ends=True)
        self.marked = result.conflicts
        return refused(landing.conflict(self.host, result))


async def resolve(host: Host, task: Task, workspace: Workspace, paths: tuple[str, ...], text: HandoffText) -> bool:
    """Have a resolver resolve the conflict in a worker's workspace. Returns whether the task has landed.

    The resolver starts from what the workspace holds: the newest trunk, with both sides in `paths`.
    """
    base = workspace.base
    merged = await workspace.commit(task.spec.title)
    agent = spawned(host, task, Role.RESOLVER)
    host.record(Draft(e.AgentSpawned(agent), agent.id, task.id))
    resolution = Resolution(host, task.id, text, paths)
    context = AgentToolContext(host, agent.id, base, resolution.hand_off)
    try:
        await (await context.workspace()).advance(merged, base)
        opening = conflict_opening(task, paths, await repository_notes(host, base))
        loop = await task_loop(host, context, Role.RESOLVER, opening)
        await loop.run()
    except (AttemptFailed, ModelError, WorkspaceLost, WorkspaceError) as error:
        if isinstance(error, ModelError) and error.kind is ModelErrorKind.REFUSED:
            raise
        host.record(Draft(e.AgentStateChanged(AgentState.FAILED, reason=str(error)), agent.id, task.id))
    finally:
        await context.close()
    return resolution.landed

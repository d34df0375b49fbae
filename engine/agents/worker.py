"""One attempt at a task: a fresh agent and copy, the loop, and a handoff that lands what was done."""

from engine.agents import landing
from engine.agents.conversation_log import bullets, repair_opening, task_opening
from engine.agents.desk import AgentDesk
from engine.agents.handoffs import engine_text
from engine.agents.host import Host
from engine.agents.loop import Loop
from engine.agents.resolver import resolve
from engine.agents.spawning import repository_notes, spawned
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import (
    Agent,
    AgentId,
    HandoffStatus,
    HandoffText,
    LandingState,
    Role,
    Task,
    TaskId,
    TaskKind,
)
from engine.ports.protocols import LandResult
from engine.tools.tool import Answer, refused

OWN_RESOLUTIONS = 2
"""How often the worker may fail to resolve a conflict before a resolver takes it."""


class Attempt:
    """One attempt at one task. `run` returns when the task has ended; see Loop for what it raises."""

    def __init__(self, host: Host, task: TaskId, agent: AgentId) -> None:
        self.host = host
        self.task_id = task
        self.agent = agent
        self.desk: AgentDesk | None = None
        self._marked: tuple[str, ...] = ()
        self._failed_resolutions = 0

    @property
    def task(self) -> Task:
        return self.host.snapshot.tasks[self.task_id]

    async def run(self) -> None:
        host = self.host
        tip = await host.trunk.tip()
        self.desk = AgentDesk(host, self.agent, tip, self._hand_off)
        repair = self.task.kind is TaskKind.FIXUP
        notes = await repository_notes(host, tip)
        opening = repair_opening(self.task, notes) if repair else task_opening(self.task, notes)
        prompt = host.prompts[Role.RECONCILER if repair else Role.WORKER]
        try:
            root = (await self.desk.workspace()).root
            system = prompt.render(root=root)
            await Loop(host, self.desk, prompt, system, lambda: opening, host.settings.task.max_steps).run()
        finally:
            await self.desk.close()

    async def _hand_off(self, text: HandoffText) -> Answer:
        assert self.desk is not None
        if unread := self.host.snapshot.inboxes.get(self.agent):
            return refused(f"not yet: read the messages that follow first (unread: {len(unread)})")
        if text.status is HandoffStatus.FAILED:
            return Answer("accepted", drafts=landing.failed(self.host, self.task, text, by_engine=False), ends=True)
        if marked := await landing.still_marked(self.desk.opened, self._marked):
            self._failed_resolutions += 1
            if self._failed_resolutions < OWN_RESOLUTIONS:
                return refused(self.host.prompts["markers"].render(paths=bullets(marked)))
            return await self._resolved_by_another(text)
        result = await landing.to_its_end(landing.offer(self.host, self.task, self.desk, text))
        if result.state is LandingState.REFUSED:
            return refused(f"refused: {result.reason}; call submit_handoff again")
        if result.state is not LandingState.CONFLICTED:
            return self._landed(text, result)
        self._failed_resolutions += bool(self._marked)
        self._marked = result.conflicts
        if self._failed_resolutions < OWN_RESOLUTIONS:
            return refused(landing.conflict(self.host, result))
        return await self._resolved_by_another(text)

    async def _resolved_by_another(self, text: HandoffText) -> Answer:
        assert self.desk is not None
        workspace = await self.desk.workspace()
        if not await resolve(self.host, self.task, workspace, self._marked, text):
            lost = engine_text(
                "Nothing was landed: the change conflicts with newer work on trunk, "
                "and neither its worker nor a resolver could merge the two.",
                notes=text.summary,
                concerns=bullets(self._marked),
                findings=text.findings,
            )
            return Answer("not landed", drafts=landing.failed(self.host, self.task, lost, by_engine=True), ends=True)
        return Answer("landed: resolved", ends=True)

    def _landed(self, text: HandoffText, result: LandResult) -> Answer:
        drafts = landing.landed(self.host, self.task, text, result)
        body = drafts[0].body
        state = body.landing.state if isinstance(body, e.LandingFinished) else result.state
        return Answer(f"landed: {state}", drafts=drafts, ends=True)


def started(host: Host, task: Task) -> tuple[Agent, tuple[Draft, Draft]]:
    """A new agent for the task's next attempt, and the events that begin it."""
    role = Role.RECONCILER if task.kind is TaskKind.FIXUP else Role.WORKER
    agent = spawned(host, task, role)
    return agent, (
        Draft(e.AgentSpawned(agent), agent.id, task.id),
        Draft(e.TaskStarted(agent.id, agent.attempt), agent.id, task.id),
    )

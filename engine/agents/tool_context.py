"""The context of one agent's tools: its workspace, opened on first use, and the commands it runs there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from engine.agents import notes
from engine.agents.amendment import amended
from engine.agents.cancellation import cancelled
from engine.agents.changes import slice_changed
from engine.agents.conflicts import still_marked
from engine.agents.past import Past
from engine.agents.workspace_update import UP_TO_DATE, update, updated
from engine.domain.errors import SwarmError
from engine.domain.events import AgentStateChanged, Draft, NoteAnswered, Rescoped, WorkspaceUpdated
from engine.domain.notes import Note
from engine.domain.types import (
    Agent,
    AgentId,
    AgentState,
    CommitId,
    HandoffText,
    Landing,
    MessageSource,
    Role,
    Task,
    TaskSpec,
)
from engine.domain.units import duration_s
from engine.policy.left_out import concerns, left_out_lines
from engine.policy.task_names import folded
from engine.ports.protocols import LandResult, Output, Workspace
from engine.runtime.host import Host
from engine.runtime.inbox import message_to
from engine.tools.tool import Answer, refused

HandOff = Callable[["AgentToolContext", HandoffText], Awaitable[Answer]]


class AgentToolContext:
    """Implements tools.tool.ToolContext. `hand_off` is how the agent's role handles a handoff."""

    def __init__(
        self, host: Host, agent: AgentId, commit: CommitId, hand_off: HandOff, past: Past | None = None
    ) -> None:
        self._host = host
        self._id = agent
        self._hand_off = hand_off
        self.opened: Workspace | None = None
        """The workspace, if it has been used."""
        self._opening = asyncio.Lock()
        self._spoiled: frozenset[str] = frozenset()
        self._told: set[str] = set()
        self._update = past.untold_update if past is not None else None
        self.conflicting = past.conflicting if past is not None else ()
        """The paths of the last conflict that was put into the workspace."""
        self.since = past.since if past is not None else None
        """The commit that the change was made on when it first met a conflict."""
        self.sent_back: Sequence[str] = ()
        self.shown: dict[str, str] = {}
        """The ids of landings that the agent was told of, with those that its git shows instead."""
        self.commit = commit
        self.snapshot = host.snapshot
        self.settings = host.settings
        self.clock = host.clock
        self.ids = host.ids

    @property
    def agent(self) -> Agent:
        return self.snapshot.agents[self._id]

    def prompt(self, name: str, **values: object) -> str:
        return self._host.prompts[name].render(**values)

    async def workspace(self) -> Workspace:
        async with self._opening:
            if self.opened is None:
                plans = self.agent.role is Role.PLANNER
                self.opened = await self._host.workspaces.open(self._id, self.commit, trunk_history=plans)
            return self.opened

    async def command(self, command: str, timeout_s: float) -> tuple[Output, float]:
        limit = duration_s(self.settings.sandbox.command_timeout)
        timeout = min(timeout_s, limit) if timeout_s > 0 else limit
        workspace = await self.workspace()
        await self._host.pauses.thawed(self._id)
        timeout = min(timeout, self._host.deadlines.left_s(self._id))
        came, waited_s = self.clock.monotonic(), 0.0
        no_longer_spared = self._host.deadlines.spare(self._id)
        try:
            async with self._gate(command) as at_gate, self._host.freezer.freezable(self._id, workspace, command):
                waited_s = self.clock.monotonic() - came
                output = await workspace.run(command, timeout, lambda text: self._host.live.show(self._id, text))
                waited_s += output.starved_s
        finally:
            no_longer_spared(waited_s)
        return output, at_gate

    @asynccontextmanager
    async def _gate(self, command: str) -> AsyncIterator[float]:
        """Hold a slot at the build gate. While the agent waits for one, its state says so."""
        doing = self.agent.doing

        def act(doing: str) -> None:
            self._host.record(Draft(AgentStateChanged(AgentState.ACTING, doing), self._id, self.agent.task))

        def waits(what: str) -> None:
            act(f"waits {what}: {doing}")

        async with self._host.gate.pass_for(command, self.snapshot.planner_of(self._id), self._id, waits) as waited:
            if self.agent.doing != doing:
                act(doing)
            yield waited

    async def changed(self) -> frozenset[str]:
        if self.agent.role is Role.PLANNER:
            return frozenset()
        return frozenset(await (await self.workspace()).changed())

    @property
    def answers_awaited(self) -> bool:
        return self._host.answers_awaited

    def asks(self, note: Note) -> tuple[Draft, ...]:
        return notes.asked(self._host, note)

    def left_open(self) -> tuple[Draft, ...]:
        return notes.left_by_planner(self._host, self._id)

    def passed_on(self, child: Agent, goal: str, scope: str, message: str) -> tuple[Draft, ...]:
        asked = [note for note in self.snapshot.questions_to(self._id) if note.agent == child.id]
        if asked and not goal.strip() and not scope.strip():
            return notes.answered_by_planner(self._host, asked, message)
        goal, scope = goal.strip() or child.goal, scope.strip() or child.scope
        version = self.agent.intent
        text = slice_changed(self._host, child, goal, scope, message, version)
        return (
            *(Draft(NoteAnswered(note.number, message, by="planner"), child.id) for note in asked),
            Draft(Rescoped(goal, scope), child.id),
            message_to(self._host, child.id, MessageSource.INTENT, text, intent=version),
        )

    def amended(self, task: Task, spec: TaskSpec) -> tuple[Draft, ...]:
        return amended(self._host, task, spec, self.agent.intent)

    def cancelled(self, child: Agent, reason: str) -> tuple[Draft, ...]:
        return cancelled(self._host, child, reason, self.agent.intent)

    async def left_out(self, written: str = "") -> str:
        workspace = self.opened
        if workspace is None or self.agent.role is Role.PLANNER:
            return ""
        if written:
            await workspace.find_left_out()
        path = written.removeprefix(f"{workspace.root}/")
        found = {at: why for at, why in workspace.left_out.items() if at not in self._told or concerns(at, path)}
        self._told |= found.keys()
        return f"\n(will not land: {'; '.join(left_out_lines(found))})" if found else ""

    async def spoiled(self) -> tuple[str, ...]:
        if self.agent.role is not Role.PLANNER or self.opened is None:
            return ()
        now = frozenset(await self.opened.changed())
        new, self._spoiled = now - self._spoiled, now
        return tuple(sorted(new))

    async def hand_off(self, text: HandoffText) -> Answer:
        return await self._hand_off(self, self._host.mask.value(text))

    async def own_tasks(self, *names: str) -> list[Task]:
        snapshot, older = self.snapshot, list[Task]()
        known = {name for id in snapshot.tasks_of.get(self._id, ()) for name in (id, snapshot.tasks[id].spec.title)}
        wanted = {folded(name) for name in names if name.strip()} - known
        if wanted and self._id in snapshot.retired:
            await self._host.durable(snapshot.seq)
            older += (await self._host.journal.ended_tasks(self._id, wanted)).tasks.values()
        own = snapshot.tasks_of.get(self._id, ())
        return [*(task for task in older if task.id not in own), *(snapshot.tasks[id] for id in own)]

    async def update(self) -> Answer:
        workspace, untold = await self.workspace(), self._update
        self._update = None
        if untold is not None and workspace.base == untold.base:
            return Answer(await updated(self._host, workspace, untold))
        if marked := await still_marked(workspace, self.conflicting):
            return refused(f"not updated: resolve the conflicts in your copy first: {', '.join(marked)}")
        found = await update(self._host, self.agent, workspace)
        if isinstance(found, str):
            return Answer(found, error=found != UP_TO_DATE)
        self.commit = found.base
        self.meets(found)
        return Answer(await updated(self._host, workspace, found))

    def meets(self, found: LandResult | Landing | WorkspaceUpdated) -> None:
        """Note what was merged into the workspace, and where that conflicts."""
        self.conflicting = found.conflicts
        if found.conflicts:
            self.since = self.since or found.since

    async def follow(self, commit: CommitId) -> None:
        """Continue from a newer commit, in a new workspace; changes in the old one are lost."""
        if commit != self.commit:
            self.commit = commit
            await self.close()

    async def end(self) -> None:
        """End the agent's work in this process. Unless that is over, its files stay for the process that continues it.

        They are removed only once the record of the end is on disk: otherwise the work would begin again.
        """
        if self.opened is None:
            return
        task = self.snapshot.tasks[self.agent.task] if self.agent.task is not None else None
        over = self.agent.ended or (task is not None and (task.ended or bool(task.unwanted)))
        if over:
            with suppress(SwarmError):  # the journal cannot be written: the run ends with that error
                await self._host.durable(self.snapshot.seq)
                await self.close()
        if self.opened is not None:
            await self.opened.leave()

    async def close(self) -> None:
        """Close the workspace, if there is one."""
        if self.opened is not None:
            await self.opened.close()
            self.opened, self._spoiled, self._told = None, frozenset(), set()

"""Keeps landings in turn: while a conflict is resolved, later landings on the paths in conflict wait."""

import asyncio
from collections.abc import Collection

from engine.domain import events as e
from engine.domain.events import Draft, Event
from engine.domain.types import Agent, AgentId, AgentPath, AgentState, CommitId, TaskId
from engine.domain.units import duration_s
from engine.policy import precedence
from engine.runtime.deadlines import Deadlines
from engine.runtime.pauses import Pauses
from engine.runtime.recorder import RunRecorder


class LandingTurns:
    """One for the swarm. The queue itself is in the snapshot; what wakes a landing that waits is in the reactions."""

    def __init__(self, run: RunRecorder, pauses: Pauses, deadlines: Deadlines) -> None:
        self._run = run
        self._pauses = pauses
        self._deadlines = deadlines
        self._changed = asyncio.Event()

    def wake(self, event: Event, body: e.Body) -> None:
        """Let each landing that waits look again whether it still has to."""
        self.look_again()

    def look_again(self) -> None:
        self._changed.set()
        self._changed.clear()

    def ahead(self, task: TaskId, paths: Collection[str]) -> dict[str, AgentPath]:
        """What a landing of these paths waits for now; see engine.policy.precedence."""
        return precedence.ahead(self._run.snapshot, task, paths, self._run.clock.now())

    def disputed(self, task: TaskId, paths: Collection[str]) -> list[CommitId | None]:
        """The commits of all that a landing of these paths comes after; None for an unknown one."""
        snapshot = self._run.snapshot
        claims = precedence.claims_ahead(snapshot, task, paths, self._run.clock.now())
        return [precedence.disputed(snapshot, claim) for claim in claims]

    def conflict(self, task: TaskId, paths: tuple[str, ...], merged: CommitId | None) -> Draft | None:
        """What gives a task precedence on its paths in conflict; None if another one has it, so that it has to wait."""
        self._drop_over()
        if self.ahead(task, paths):
            return None
        snapshot = self._run.snapshot
        lost = snapshot.tasks[task].conflicts
        until = self._run.clock.now() + self.length * (1 + lost)
        return Draft(e.PrecedenceGiven(paths, until, merged, whole=lost > 0), snapshot.tasks[task].agent, task)

    @property
    def length(self) -> int:
        """How long the first precedence of a task lasts, in microseconds; each later one lasts as much longer."""
        return int(duration_s(self._run.settings.landing.precedence) * 1_000_000)

    async def wait(self, task: TaskId, agent: AgentId, paths: Collection[str]) -> bool:
        """Wait until nothing is before the landing of a task. False if the agent has got a message meanwhile.

        A paused agent is held here. The time does not count towards the task's time limit.
        """
        start_clock = self._deadlines.stop_clock(agent)
        doing, behind = self._agent(agent).doing, dict[str, AgentPath]()
        try:
            while (now_behind := self.ahead(task, paths)) or self._pauses.holds(agent):
                if self._run.snapshot.inboxes.get(agent):
                    return False
                if now_behind.keys() - behind.keys():
                    self._show(agent, _waiting_for(now_behind))
                    self._run.record(Draft(e.LandingWaits(now_behind), self._run.snapshot.tasks[task].agent, task))
                    behind = now_behind
                if self._pauses.holds(agent):
                    await self._pauses.safe_point(agent)
                    self._show(agent, doing)
                    behind = {}
                else:
                    await self._change()
                    self._drop_over()
        finally:
            start_clock()
        if behind:
            self._show(agent, doing)
        return True

    async def _change(self) -> None:
        """Wait until something changes, or until somebody's precedence ends."""
        now = self._run.clock.now()
        end = precedence.next_end(self._run.snapshot, now)
        try:
            async with asyncio.timeout(None if end is None else (end - now) / 1_000_000):
                await self._changed.wait()
        except TimeoutError:
            return

    def _drop_over(self) -> None:
        for claim in precedence.over(self._run.snapshot, self._run.clock.now()):
            self._run.record(Draft(e.PrecedenceEnded(), claim.agent, claim.task))

    def _show(self, agent: AgentId, doing: str) -> None:
        self._run.record(Draft(e.AgentStateChanged(AgentState.ACTING, doing), agent, self._agent(agent).task))

    def _agent(self, agent: AgentId) -> Agent:
        return self._run.snapshot.agents[agent]


def _waiting_for(behind: dict[str, AgentPath]) -> str:
    path, agent = next(iter(behind.items()))
    more = f" and {len(behind) - 1} more" if len(behind) > 1 else ""
    return f"waits to land {path}{more}: after {agent}"

"""Answers a journal's queries as of an earlier event, for a replay."""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from tui.bridge import (
    AgentId,
    Event,
    Followed,
    HandoffId,
    JournalReader,
    MessageRow,
    Micros,
    Recalled,
    Sample,
    Scratchpad,
    Snapshot,
    ToolCallRow,
)


class AsOfReader:
    """`JournalQueries` that leave out what happened after the state that `snapshot` returns."""

    def __init__(self, log: JournalReader, snapshot: Callable[[], Snapshot]) -> None:
        self._log = log
        self._snapshot = snapshot

    async def messages(
        self, agent: AgentId, *, before: int | None = None, limit: int = 100, whole: bool = False
    ) -> tuple[MessageRow, ...]:
        so_far = 2 * (self._snapshot().seq + 1)  # two message numbers are reserved for each event
        return await self._log.messages(agent, before=min(before or so_far, so_far), limit=limit, whole=whole)

    async def last_call(self, agent: AgentId) -> ToolCallRow | None:
        run = self._snapshot()
        call = await self._log.last_call(agent, before=run.seq + 1)
        if call is not None and call.ended is not None and call.ended > run.at:
            return replace(call, answer=None, ended=None)
        return call

    async def scratchpads(self, agent: AgentId, *, limit: int = 50) -> tuple[Scratchpad, ...]:
        pad = self._snapshot().scratchpads.get(agent)
        if pad is None:
            return ()
        found = await self._log.scratchpads(agent, limit=5_000)
        return tuple(each for each in found if each.version <= pad.version)[:limit]

    async def events(self, *, before: int | None = None, agent: AgentId | None = None, limit: int = 200) -> list[Event]:
        so_far = self._snapshot().seq + 1
        return await self._log.events(before=min(before or so_far, so_far), agent=agent, limit=limit)

    async def spread_samples(self, points: int) -> tuple[tuple[Micros, Sample], ...]:
        return await self._log.spread_samples(points, until=self._snapshot().at)

    async def followed(self, handoff: HandoffId) -> Followed:
        run = self._snapshot()
        followed = await self._log.followed(handoff)
        if followed.answer is None or followed.answer.seq > run.seq:
            return Followed()
        tasks = (replace(row, state=run.tasks[row.id].state.value) for row in followed.tasks if row.id in run.tasks)
        return Followed(followed.answer, tuple(tasks))

    async def ended_below(self, planner: AgentId, known: Collection[AgentId], at: Micros) -> Recalled:
        return await self._log.ended_below(planner, known, at)

    async def older_handoffs(self, known: Collection[HandoffId], at: Micros) -> Recalled:
        return await self._log.older_handoffs(known, at)

    async def close(self) -> None:
        await self._log.close()

"""A journal in memory. As on a disk, events become durable with a delay, and a crash loses those that are not."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Event
from engine.domain.types import Agent, AgentId, Handoff, HandoffId, Task, TaskId, TaskState
from engine.state.recalled import Recalled
from engine.state.snapshot import Snapshot
from tests.simulated.disk import Disk
from tests.simulated.power import Power

RETRY_S = 1.0


class MemoryJournal:
    """Implements `Journal`.

    Batches become durable together, `delay()` seconds after the oldest was appended. With `crash_after`, power fails
    once that event is durable: later batches are lost as a whole.

    While the disk refuses writes, events stay queued, `durable` fails, `on_failure` is called once, and writing is
    retried. A write that fails with EIO may have reached the disk after all; then it is not written twice.
    """

    def __init__(self, power: Power, disk: Disk, delay: Callable[[], float], kept: Sequence[Event] = ()) -> None:
        self.on_failure: Callable[[SwarmError], None] = lambda error: None
        self.failure: SwarmError | None = None
        self._disk = disk
        self._power = power
        self._delay = delay
        self._durable: list[Event] = list(kept)
        self._waiting: list[tuple[Event, ...]] = []
        self._last = self._durable[-1].seq if self._durable else 0
        self._flushing: asyncio.TimerHandle | None = None
        self._grew = asyncio.Event()
        self._crash_seq: int | None = None
        self.closed = False

    def crash_after(self, seq: int) -> None:
        """Let power fail as soon as event `seq` is durable."""
        self._crash_seq = seq

    def surviving(self) -> list[Event]:
        """The durable events, which a later process finds."""
        return list(self._durable)

    @property
    def appended(self) -> int:
        """The last sequence number appended, durable or not."""
        return self._last

    def append(self, events: Sequence[Event]) -> None:
        assert not self.closed, "the journal is closed"
        for event in events:
            assert event.seq == self._last + 1, f"event {event.seq} after {self._last}"
            self._last = event.seq
        if not events:
            return
        self._waiting.append(tuple(events))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(self._delay(), self._flush)

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Not kept: folding all events from memory is fast enough."""

    async def durable(self, seq: int) -> None:
        assert seq <= self._last, f"event {seq} was never appended"
        while not self._durable or self._durable[-1].seq < seq:
            await self._power.needed()
            grew = self._grew
            await grew.wait()
            if self.failure is not None and (not self._durable or self._durable[-1].seq < seq):
                raise self.failure
        await self._power.needed()

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        await self._power.needed()
        for event in self._durable[after:]:
            yield event

    async def agent_events(self, agent: AgentId) -> list[Event]:
        await self._power.needed()
        return [event for event in self._durable if event.agent == agent]

    async def ended_tasks(self, planner: AgentId, names: Collection[str]) -> Recalled:
        await self._power.needed()
        tasks, agents, handoffs = dict[TaskId, Task](), dict[AgentId, Agent](), dict[HandoffId, Handoff]()
        for event in self._durable:
            match event.body:
                case e.TaskQueued(queued=task) if task.planner == planner and {task.id, task.spec.title} & {*names}:
                    tasks[task.id] = task
                case e.TaskEnded(state=state, reason=reason) if event.task in tasks:
                    task = tasks[event.task]
                    tasks[event.task] = replace(task, state=TaskState(state), reason=reason, ended_at=event.at)
                case e.AgentSpawned(spawned=agent) if agent.task in tasks:
                    agents[agent.id] = agent
                case e.TurnTaken() if event.agent in agents:
                    agents[event.agent] = replace(agents[event.agent], steps=agents[event.agent].steps + 1)
                case e.HandedOff(handoff=handoff) if handoff.task in tasks:
                    handoffs[handoff.id] = handoff
        ended = {id: task for id, task in tasks.items() if task.ended}
        return Recalled(
            {id: agent for id, agent in agents.items() if agent.task in ended},
            ended,
            {id: handoff for id, handoff in handoffs.items() if handoff.task in ended},
        )

    async def close(self) -> None:
        await self._power.needed()
        self._flush()
        self.closed = True
        if self._flushing is not None:
            self._flushing.cancel()
        if self.failure is not None:
            raise self.failure

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._power.on:
            return
        try:
            self._disk.write_as(ErrorKind.JOURNAL, "journal")
        except SwarmError as error:
            self._failed(error)
            return
        self.failure = None
        batches, self._waiting = self._waiting, []
        for batch in batches:
            if not self._power.on:
                return
            if batch[-1].seq <= len(self._durable):
                continue  # its write failed, but only after it was written
            if self._crash_seq is not None and batch[-1].seq > self._crash_seq:
                self._power.fail()
                return
            self._durable.extend(batch)
            if batch[-1].seq == self._crash_seq:
                self._power.fail()
        self._wake()

    def _failed(self, error: SwarmError) -> None:
        trouble = self._disk.trouble("journal")
        if trouble is not None and trouble.code == errno.EIO and self._waiting:
            first = self._waiting[0]
            if first[-1].seq > len(self._durable) and first[-1].seq % 2:
                self._durable.extend(first)
        told, self.failure = self.failure is not None, error
        self._wake()
        self._flushing = asyncio.get_running_loop().call_later(RETRY_S, self._flush)
        if not told:
            self.on_failure(error)

    def _wake(self) -> None:
        grew, self._grew = self._grew, asyncio.Event()
        grew.set()

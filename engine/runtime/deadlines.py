"""Time limits of attempts. Their clocks stop while the agent is paused or waits for its provider."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from engine.domain.types import AgentId
from engine.ports.protocols import Clock
from engine.state.snapshot import Snapshot


class Deadlines:
    """The time limits of running attempts, by the agent that each was started with."""

    def __init__(self, snapshot: Snapshot, clock: Clock) -> None:
        self._snapshot = snapshot
        self._clock = clock
        self._running: dict[AgentId, asyncio.Timeout] = {}

    @asynccontextmanager
    async def limit(self, agent: AgentId, seconds: float) -> AsyncIterator[None]:
        """Limit an attempt to this time, not counting while its clock is stopped. Raises TimeoutError."""
        async with asyncio.timeout(seconds) as timeout:
            self._running[agent] = timeout
            try:
                yield
            finally:
                del self._running[agent]

    def stop_clock(self, agent: AgentId) -> Callable[[], None]:
        """Stop the clock of the attempt that an agent works on. Call what is returned to start it again."""
        task = self._snapshot.agents[agent].task
        timeout = self._running.get((task and self._snapshot.tasks[task].agent) or agent)
        if timeout is None or timeout.expired() or (when := timeout.when()) is None:
            return lambda: None
        since = self._clock.monotonic()
        timeout.reschedule(None)
        return lambda: timeout.reschedule(when + self._clock.monotonic() - since)

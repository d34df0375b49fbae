"""Time limits of attempts. Their clocks stop while the agent is paused or waits for its provider or the machine."""

import asyncio
import math
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

    def stop_clock(self, agent: AgentId) -> Callable[..., None]:
        """Stop the clock of the attempt that an agent works on. Call what is returned to start it again, with the
        seconds that count nevertheless, if there are any."""
        timeout = self._of(agent)
        if timeout is None or (when := timeout.when()) is None:
            return lambda counted_s=0.0: None
        since = self._clock.monotonic()
        timeout.reschedule(None)
        return lambda counted_s=0.0: timeout.reschedule(when + self._clock.monotonic() - since - counted_s)

    def left_s(self, agent: AgentId) -> float:
        """Seconds that are left of the attempt's time; infinite while its clock is stopped."""
        timeout = self._of(agent)
        if timeout is None or (when := timeout.when()) is None:
            return math.inf
        return max(0.0, when - asyncio.get_running_loop().time())

    def _of(self, agent: AgentId) -> asyncio.Timeout | None:
        """The limit of the attempt that an agent works on, unless it has expired."""
        task = self._snapshot.agents[agent].task
        timeout = self._running.get((task and self._snapshot.tasks[task].agent) or agent)
        return None if timeout is None or timeout.expired() else timeout

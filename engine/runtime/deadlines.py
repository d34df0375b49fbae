"""Time limits of attempts. Their clocks stop while the agent is paused or waits for its provider or the machine."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from engine.domain.types import AgentId
from engine.ports.protocols import Clock
from engine.state.snapshot import Snapshot

SPARED_S = 86_400.0


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
        timeout = self._of(agent)
        if timeout is None or (when := timeout.when()) is None:
            return lambda: None
        since = self._clock.monotonic()
        timeout.reschedule(None)
        return lambda: timeout.reschedule(when + self._clock.monotonic() - since)

    def spare(self, agent: AgentId) -> Callable[[float], None]:
        """Suspend the attempt's limit, for a day at most, for work that may have to wait for the machine. Call what is
        returned when that work ends, with the seconds that do not count."""
        timeout = self._of(agent)
        self._move(timeout, SPARED_S)
        return lambda waited_s: self._move(timeout, waited_s - SPARED_S)

    def left_s(self, agent: AgentId) -> float:
        """Seconds left of the attempt's time; infinite while its clock is stopped."""
        timeout = self._of(agent)
        if timeout is None or (when := timeout.when()) is None:
            return math.inf
        return max(0.0, when - asyncio.get_running_loop().time())

    def _move(self, timeout: asyncio.Timeout | None, seconds: float) -> None:
        if timeout is not None and not timeout.expired() and (when := timeout.when()) is not None:
            timeout.reschedule(when + seconds)

    def _of(self, agent: AgentId) -> asyncio.Timeout | None:
        """The time limit of an agent's attempt, unless it has expired."""
        task = self._snapshot.agents[agent].task
        timeout = self._running.get((task and self._snapshot.tasks[task].agent) or agent)
        return None if timeout is None or timeout.expired() else timeout

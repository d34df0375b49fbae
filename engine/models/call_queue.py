"""Admits calls to one endpoint: first come, first served, with adaptive concurrency and pauses after rate limits."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from engine.ports.protocols import Clock

_DECREASE = 0.5
IN_A_ROW = 8
"""Consecutive failures after which an endpoint counts as down."""
PROBES = 2
"""Concurrent calls that probe an endpoint that is down; two, because one may hang."""


class EndpointStatistics(Struct, frozen=True):
    """An endpoint's statistics. `limit` is the number of concurrent calls admitted; waits are in seconds."""

    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    calls: int = 0
    retries: int = 0
    rate_limited_s: float = 0.0


class CallQueue:
    """Adapts the number of concurrent calls as TCP does: slightly more after each success, half after a rate limit.

    A burst of rate limits halves the number once: calls admitted before the last cut carry no new information. An
    endpoint that is down gets PROBES calls at growing intervals, however many wait; once it answers, each success
    admits one more, up to the number that it handled before.
    """

    def __init__(self, clock: Clock, max_concurrent: int) -> None:
        self._clock = clock
        self._max = max(1, max_concurrent)
        self._limit = float(self._max)
        self._in_flight = 0
        self._tickets = 0
        self._queue: list[tuple[int, asyncio.Future[None]]] = []
        self._cool_until = clock.monotonic()
        self._cooled_s = 0.0
        self._cut_at = float("-inf")
        self._bore = self._limit
        """Up to this number, each success admits one more call."""
        self._answered = True
        """Whether an answer has completed since the last cut."""
        self._failures = 0
        self._thawing: asyncio.Task[None] | None = None
        self._calls = 0
        self._retries = 0

    def ticket(self) -> int:
        """A call's place in the queue; retries keep it."""
        self._tickets += 1
        return self._tickets

    @asynccontextmanager
    async def slot(self, ticket: int) -> AsyncIterator[float]:
        """Wait for a slot among the calls in flight and hold it; yields the time of queue (monotonic)."""
        await self._enter(ticket)
        self._calls += 1
        try:
            yield self._clock.monotonic()
        finally:
            self._leave()

    def succeeded(self) -> None:
        """Admit one more call for each round of successes, or for each success after the endpoint was down."""
        self._failures, self._answered = 0, True
        more = 1.0 if self._limit < self._bore else 1 / self._limit
        self._limit = min(float(self._max), self._limit + more)

    def rate_limited(self, started: float, wait: float) -> None:
        """A call admitted at `started` was rate limited: no call starts for `wait` seconds."""
        now = self._clock.monotonic()
        if started > self._cut_at:
            self._limit = max(1.0, self._limit * _DECREASE)
            if self._answered:  # of consecutive cuts, only the first says what the endpoint handles
                self._bore = self._limit
            self._answered = False
            self._cut_at = now
        self._cool(wait)

    def failed(self, started: float, wait: float) -> None:
        """A call admitted at `started` got no complete answer and will be retried in `wait` seconds."""
        self._failures += 1
        if self._failures < IN_A_ROW:
            return
        if self._limit > PROBES:
            self._bore, self._limit = self._limit, float(PROBES)
        if started >= self._cool_until:  # calls already in flight carry no new information
            self._cool(wait)

    def _cool(self, wait: float) -> None:
        now = self._clock.monotonic()
        until = now + wait
        if until > self._cool_until:
            self._cooled_s += until - max(now, self._cool_until)
            self._cool_until = until

    def retried(self) -> None:
        self._retries += 1

    @property
    def statistics(self) -> EndpointStatistics:
        now = self._clock.monotonic()
        return EndpointStatistics(
            in_flight=self._in_flight,
            waiting=len(self._queue),
            limit=int(self._limit),
            calls=self._calls,
            retries=self._retries,
            rate_limited_s=self._cooled_s - max(0.0, self._cool_until - now),
        )

    async def close(self) -> None:
        if self._thawing is not None:
            self._thawing.cancel()
            await asyncio.gather(self._thawing, return_exceptions=True)

    async def _enter(self, ticket: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (ticket, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the slot was granted just before the cancellation
            else:
                self._queue = [entry for entry in self._queue if entry[1] is not turn]
                heapq.heapify(self._queue)
            raise

    def _leave(self) -> None:
        self._in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._in_flight < int(self._limit):
            if self._clock.monotonic() < self._cool_until:
                if self._thawing is None or self._thawing.done():
                    self._thawing = asyncio.create_task(self._thaw())
                return
            _, turn = heapq.heappop(self._queue)
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    async def _thaw(self) -> None:
        while (left := self._cool_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        self._thawing = None
        self._admit()

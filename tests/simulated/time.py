"""Virtual time: a clock, and an event loop whose time jumps to the next timer when nothing else can happen."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from engine.domain.types import Micros

T = TypeVar("T")

EPOCH: Micros = 1_767_225_600_000_000
"""When simulated time starts: 2026-01-01 00:00 UTC."""

REAL_S = 0.01
"""Seconds between two checks for real work that has ended."""


class NothingCanHappen(RuntimeError):  # noqa: N818 - a state of the world
    """The test is stuck: all tasks wait, no timer runs, and nothing is ready."""


class SimulatedClock:
    """Implements `Clock`. `elapsed` is in seconds and moves only when the loop is idle, or by `advance`.

    `jumps`: pairs of a simulated time and the seconds by which UTC changes then, as if the clock were set.
    """

    def __init__(self, limit_s: float = 30 * 86_400.0) -> None:
        self.elapsed = 0.0
        self.limit_s = limit_s
        self.jumps: Sequence[tuple[float, float]] = ()
        self.working = 0
        """How much work runs in threads and processes now."""

    def now(self) -> Micros:
        off = sum(seconds for at, seconds in self.jumps if at <= self.elapsed)
        return EPOCH + round((self.elapsed + off) * 1_000_000)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    @contextmanager
    def waits_for_real_work(self) -> Iterator[None]:
        """Inside this, time passes as it really does."""
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises NothingCanHappen past the limit: something polls for what never happens."""
        self.elapsed += seconds
        if self.elapsed > self.limit_s:
            raise NothingCanHappen(f"not ended after {self.limit_s:.0f} simulated seconds")


class SeededRandomness:
    """Implements `Randomness`: the same seed gives the same run."""

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)

    def random(self) -> float:
        return self._source.random()


class CountingIds:
    """Implements `Ids` by counting, so that two runs of one seed have the same ids."""

    _DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"

    def __init__(self) -> None:
        self._count = 0

    def new(self, prefix: str) -> str:
        self._count += 1
        digits, rest = "", self._count
        for _ in range(8):
            rest, digit = divmod(rest, 32)
            digits = self._DIGITS[digit] + digits
        return prefix + digits


class _IdleSelector(selectors.BaseSelector):
    """A selector that lets the clock jump to the next timer instead of waiting for it."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._inner = selectors.DefaultSelector()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._clock.working:
            real = REAL_S if timeout is None else min(timeout, REAL_S)
            ready = self._inner.select(real)
            self._clock.advance(0.0 if ready else real)
            return ready
        if timeout is None:
            raise NothingCanHappen("all tasks wait and no timer runs")
        self._clock.advance(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on a simulated clock: `asyncio.sleep`, `timeout` and `call_later` cost no real time.

    Results of threads and processes arrive after time has jumped ahead, unless the clock waits for real work.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__(_IdleSelector(clock))
        self._simulated = clock

    def time(self) -> float:
        return self._simulated.elapsed


def simulate(main: Callable[[SimulatedClock], Coroutine[Any, Any, T]], clock: SimulatedClock | None = None) -> T:
    """Run a coroutine to its end in virtual time, as `asyncio.run` does in real time.

    Raises NothingCanHappen if it is stuck.
    """
    clock = clock or SimulatedClock()
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        try:
            return runner.run(main(clock))
        finally:
            clock.working += 1  # closing the loop waits for threads

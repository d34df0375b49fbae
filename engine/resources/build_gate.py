"""The build gate: limits how many builds run at once, fairly between subtrees; measures contention."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from engine.policy.build_commands import is_build
from engine.ports.protocols import Clock

WINDOW_S = 60.0
"""Contention is measured over this time."""


class GateFigures(Struct, frozen=True):
    """The number of builds now, and the seconds spent in the last minute.

    `contention` is (wait + locks) / (wait + run) in percent, at most 100; 0 if nothing was built.
    """

    building: int = 0
    waiting: int = 0
    wait_s: float = 0.0
    run_s: float = 0.0
    lock_s: float = 0.0

    @property
    def contention(self) -> float:
        spent = self.wait_s + self.run_s
        return min(100.0, 100.0 * (self.wait_s + self.lock_s) / spent) if spent > 0 else 0.0


class _Build(Struct, eq=False):
    """One build command: when it arrived, entered and left, on the monotonic clock."""

    subtree: str
    agent: str
    came: float
    place: asyncio.Future[None]
    entered: float | None = None
    left: float | None = None


class BuildGate:
    """Implements protocols.Gate.

    Commands that match none of `patterns` pass at once. At most `slots` of the others run; a free slot goes to the
    subtree with the fewest running builds, then to the one served longest ago, and there to the oldest command.
    """

    def __init__(self, patterns: Sequence[str], slots: str | int, clock: Clock) -> None:
        self._patterns = tuple(patterns)
        self._slots = (os.cpu_count() or 1) if slots == "auto" else int(slots)
        self._clock = clock
        self._aside = 0
        """Suspended builds that hold a slot."""
        self._waiting: dict[str, deque[_Build]] = {}
        self._running: dict[str, int] = {}
        self._served: dict[str, int] = {}
        self._turn = 0
        self._known: deque[_Build] = deque()
        """Builds that wait, run, or ended within the window; oldest first."""
        self._locks: deque[tuple[float, str, float]] = deque()

    @property
    def slots(self) -> int:
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        """A higher number takes effect at once, a lower one as builds end."""
        self._slots = max(1, slots)
        self._let_in()

    @asynccontextmanager
    async def pass_for(
        self, command: str, subtree: str, agent: str = "", on_wait: Callable[[int], None] = lambda others: None
    ) -> AsyncIterator[float]:
        """Hold a slot while a build runs; yields the seconds waited for it."""
        if not is_build(command, self._patterns):
            yield 0.0
            return
        build = _Build(subtree, agent, self._clock.monotonic(), asyncio.get_running_loop().create_future())
        self._known.append(build)
        self._waiting.setdefault(subtree, deque()).append(build)
        self._let_in()
        if build.entered is None:
            on_wait(sum(map(len, self._waiting.values())) - 1)
        try:
            await build.place
            entered = build.entered
            assert entered is not None
            yield entered - build.came
        finally:
            self._leave(build)

    def step_aside(self, command: str) -> Callable[[], None]:
        """Free the slot of a suspended build; the returned function takes it back.

        It does so at once, so one build too many may run for a while.
        """
        if not is_build(command, self._patterns):
            return lambda: None
        self._aside += 1
        self._let_in()

        def back() -> None:
            self._aside -= 1

        return back

    def note_lock_wait(self, seconds: float, agent: str = "") -> None:
        """Count time that builds spent waiting for file locks."""
        if seconds > 0:
            self._locks.append((self._clock.monotonic(), agent, seconds))

    def figures(self, agent: str | None = None) -> GateFigures:
        """The state of the gate and the last minute's times, of one agent or of all."""
        now = self._clock.monotonic()
        start = now - WINDOW_S
        self._forget(start)
        building = waiting = 0
        wait_s = run_s = 0.0
        for build in self._known:
            if agent not in (None, build.agent):
                continue
            end = now if build.left is None else build.left
            entered = end if build.entered is None else build.entered
            wait_s += max(0.0, entered - max(start, build.came))
            run_s += max(0.0, end - max(start, entered))
            if build.left is None:
                waiting += build.entered is None
                building += build.entered is not None
        lock_s = sum(seconds for _, who, seconds in self._locks if agent in (None, who))
        return GateFigures(building, waiting, wait_s, run_s, lock_s)

    def _let_in(self) -> None:
        while self._waiting and sum(self._running.values()) < self._slots + self._aside:
            subtree = min(self._waiting, key=lambda key: (self._running.get(key, 0), self._served.get(key, 0)))
            queue = self._waiting[subtree]
            build = queue.popleft()
            if not queue:
                del self._waiting[subtree]
            self._turn += 1
            self._served[subtree] = self._turn
            self._running[subtree] = self._running.get(subtree, 0) + 1
            build.entered = self._clock.monotonic()
            if not build.place.done():
                build.place.set_result(None)

    def _leave(self, build: _Build) -> None:
        """Free the slot or leave the queue, also when the command was cancelled between the two."""
        build.left = self._clock.monotonic()
        if build.entered is None:
            queue = self._waiting[build.subtree]
            queue.remove(build)
            if not queue:
                del self._waiting[build.subtree]
            return
        self._running[build.subtree] -= 1
        if not self._running[build.subtree]:
            del self._running[build.subtree]
        self._let_in()

    def _forget(self, start: float) -> None:
        """Drop builds that ended before `start`."""
        if any(build.left is not None and build.left < start for build in self._known):
            self._known = deque(build for build in self._known if build.left is None or build.left >= start)
        while self._locks and self._locks[0][0] < start:
            self._locks.popleft()

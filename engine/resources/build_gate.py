"""The build gate: limits how many builds run at once, fairly between subtrees; measures contention."""

import math
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from msgspec import Struct

from engine.policy.build_commands import is_build
from engine.ports.protocols import Clock
from engine.resources.fair_slots import FairSlots

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

    agent: str
    came: float
    entered: float | None = None
    left: float | None = None


class BuildGate:
    """Implements protocols.Gate.

    At most `slots` commands that match one of `patterns` run at a time. Others do not wait, unless `commands` limits
    all commands together because they get no CPU.
    """

    def __init__(self, patterns: Sequence[str], slots: str | int, clock: Clock) -> None:
        self._patterns = tuple(patterns)
        self._builds = FairSlots((os.cpu_count() or 1) if slots == "auto" else int(slots))
        self._commands = FairSlots()
        self._clock = clock
        self._known: deque[_Build] = deque()
        """Builds that wait, run, or ended within the window; oldest first."""
        self._locks: deque[tuple[float, str, float]] = deque()

    @property
    def slots(self) -> int:
        return int(self._builds.most)

    @slots.setter
    def slots(self, slots: int) -> None:
        self._builds.most = max(1, slots)

    @property
    def commands(self) -> int | None:
        """How many commands may run at a time, builds included; None for any number."""
        return None if math.isinf(self._commands.most) else int(self._commands.most)

    @commands.setter
    def commands(self, most: int | None) -> None:
        self._commands.most = math.inf if most is None else max(1, most)

    @asynccontextmanager
    async def pass_for(
        self, command: str, subtree: str, agent: str = "", on_wait: Callable[[str], None] = lambda what: None
    ) -> AsyncIterator[float]:
        """See protocols.Gate."""
        async with AsyncExitStack() as slots:
            waited = 0.0
            if is_build(command, self._patterns):
                build = _Build(agent, self._clock.monotonic())
                self._known.append(build)
                slots.callback(self._ended, build)
                at_gate = partial(_tell, on_wait, "at the build gate")
                await slots.enter_async_context(self._builds.hold(subtree, agent, at_gate))
                build.entered = self._clock.monotonic()
                waited = build.entered - build.came
            for_cpu = partial(_tell, on_wait, "for a CPU")
            await slots.enter_async_context(self._commands.hold(subtree, agent, for_cpu))
            yield waited

    def _ended(self, build: _Build) -> None:
        build.left = self._clock.monotonic()

    def step_aside(self, command: str) -> Callable[[], None]:
        """Free the slots of a suspended command; the returned function takes them back.

        It does so without waiting, so one command too many may run for a while.
        """
        lent = [self._commands.lend()]
        if is_build(command, self._patterns):
            lent.append(self._builds.lend())

        def back() -> None:
            for take_back in lent:
                take_back()

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

    def _forget(self, start: float) -> None:
        """Drop builds that ended before `start`."""
        if any(build.left is not None and build.left < start for build in self._known):
            self._known = deque(build for build in self._known if build.left is None or build.left >= start)
        while self._locks and self._locks[0][0] < start:
            self._locks.popleft()


def _tell(on_wait: Callable[[str], None], what: str, others: int) -> None:
    on_wait(f"{what} ({others} other{'s' if others > 1 else ''})" if others else what)

"""Meters with values that a test sets, and a project check that a test defines."""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from engine.domain.environment import Environment, Interpreter
from engine.domain.resource_use import AgentUse, Sample
from engine.domain.types import AgentId, Check, CommitId
from tests.simulated.merge import Tree
from tests.simulated.power import Power
from tests.simulated.time import SimulatedClock
from tests.simulated.trunk import Commits

GIB = 2**30
PLENTY = Sample(memory=GIB, memory_free=8 * GIB, disk_free=100 * GIB, cpu=50.0, processes=10)


class SteadyMeters:
    """Implements `Meters`: every sample is `current`, which a test may change."""

    def __init__(self, power: Power) -> None:
        self.current = PLENTY
        self.used: dict[AgentId, AgentUse] = {}
        self._power = power

    async def sample(self) -> Sample:
        await self._power.needed()
        return self.current

    def uses(self) -> dict[AgentId, AgentUse]:
        return self.used


class ScriptedChecker:
    """Implements `Checker`: `verdict` gets a commit's files and returns whether they pass.

    With `warm_verdict`, checks leave builds behind, and the next ones start from those and get their verdict from it.
    """

    def __init__(self, verdict: Callable[[Tree], bool], commits: Commits, clock: SimulatedClock, power: Power) -> None:
        self.command = ""
        self.verdict = verdict
        self.warm_verdict: Callable[[Tree], bool] | None = None
        self.has_builds = False
        self.checked: list[CommitId] = []
        self.wall_s = 1.0
        self.warm_wall_s = 0.1
        self._commits = commits
        self._clock = clock
        self._power = power

    async def check(self, commit: CommitId, *, clean: bool = False) -> Check:
        await self._power.needed()
        self.checked.append(commit)
        clean = clean or not self.has_builds or self.warm_verdict is None
        wall_s = self.wall_s if clean else self.warm_wall_s
        await self._clock.sleep(wall_s)
        await self._power.needed()
        verdict = self.verdict if clean or self.warm_verdict is None else self.warm_verdict
        passed = verdict(self._commits.made[commit].files)
        output = "all passed\n" if passed else "1 failed\n"
        self.has_builds = self.warm_verdict is not None
        return Check(self._clock.now(), commit, passed, 0 if passed else 1, output, wall_s, clean=clean)

    async def discard_builds(self) -> None:
        self.has_builds = False


class SteadyEnvironment:
    """Implements `EnvironmentProbe`: every look finds `found`, which a test may change. `looked` has their commits."""

    def __init__(self, power: Power) -> None:
        self.conditions = "as ever"
        self.found = Environment(
            self.conditions,
            interpreters=(Interpreter("python3", "3.14.0", "/usr/bin/python3.14"),),
            tools=("pytest",),
            tests=("pytest",),
            missing=("mypy",),
            limits=("10m a command", "4GiB of memory"),
        )
        self.looked: list[CommitId] = []
        self.delay_s = 0.0
        self._power = power

    async def look(self, commit: CommitId, intent: str) -> Environment:
        await asyncio.sleep(self.delay_s)
        await self._power.needed()
        self.looked.append(commit)
        return replace(self.found, conditions=self.conditions)

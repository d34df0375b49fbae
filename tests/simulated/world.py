"""Builds a whole simulated world as one value, and the world that is left after a kill."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.domain.events import Event
from tests.simulated.disk import Disk
from tests.simulated.journal import MemoryJournal
from tests.simulated.merge import Tree
from tests.simulated.models import Script, ScriptedModels
from tests.simulated.power import Power
from tests.simulated.resources import ScriptedChecker, SteadyEnvironment, SteadyMeters
from tests.simulated.time import CountingIds, SeededRandomness, SimulatedClock
from tests.simulated.trunk import Commits, MemoryTrunk
from tests.simulated.workspaces import Commands, MemoryWorkspace, MemoryWorkspaces, no_commands

FILES: Mapping[str, bytes] = {"README.md": b"# A project\n", "src/app.py": b"print('hello')\n"}


@dataclass
class World:
    """A simulation of everything that the engine's logic sees of the world."""

    clock: SimulatedClock
    randomness: SeededRandomness
    ids: CountingIds
    journal: MemoryJournal
    commits: Commits
    trunk: MemoryTrunk
    workspaces: MemoryWorkspaces
    models: ScriptedModels
    meters: SteadyMeters
    checker: ScriptedChecker
    environment: SteadyEnvironment
    power: Power
    disk: Disk

    async def open(self) -> None:
        """Get ready for a new process."""

    def crash(self) -> None:
        """Kill the process: what is not durable is lost, and nothing that it does has an effect any more.

        Its tasks stay in the loop and wait for ever: cancel them.
        """
        self.power.fail()

    async def bury(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Cancel the tasks of a killed process; some of them wait again while they are cancelled."""
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.sleep(0)

    def restart(self, *, copies: bool = True) -> "World":
        """The world as the next process finds it: durable events, commits, the clock and the workspaces' files.

        Without `copies` it is the machine that lost power, and the files cannot be trusted.
        """
        self.power.fail()
        return _assemble(
            self.clock,
            self.randomness,
            self.ids,
            self.commits,
            self.journal.surviving,
            self.models.script,
            self.workspaces.shell,
            self.checker.verdict,
            self.disk,
            self.workspaces.on_disk if copies else (),
        )


def world(
    clock: SimulatedClock,
    script: Script,
    *,
    seed: int = 0,
    files: Tree = FILES,
    shell: Commands = no_commands,
    verdict: Callable[[Tree], bool] = lambda files: True,
    disk: Disk | None = None,
) -> World:
    """A new world with one base commit of `files`; call it inside the loop. The same seed gives the same run."""
    commits = Commits()
    commits.base = commits.tip = commits.add(None, files, "base")
    return _assemble(
        clock, SeededRandomness(seed), CountingIds(), commits, list, script, shell, verdict, disk or Disk(clock)
    )


def _assemble(
    clock: SimulatedClock,
    randomness: SeededRandomness,
    ids: CountingIds,
    commits: Commits,
    kept: Callable[[], list[Event]],
    script: Script,
    shell: Commands,
    verdict: Callable[[Tree], bool],
    disk: Disk,
    copies: Sequence[MemoryWorkspace] = (),
) -> World:
    power = Power()
    jitter = SeededRandomness(int(randomness.random() * 2**32))
    return World(
        clock=clock,
        randomness=randomness,
        ids=ids,
        journal=MemoryJournal(power, disk, lambda: 0.02 * jitter.random(), kept()),
        commits=commits,
        trunk=MemoryTrunk(commits, clock, power, disk, lambda: 0.02 * jitter.random()),
        workspaces=MemoryWorkspaces(commits, clock, power, disk, shell, copies),
        models=ScriptedModels(script, clock, power, lambda: 0.5 + jitter.random()),
        meters=SteadyMeters(power),
        checker=ScriptedChecker(verdict, commits, clock, power),
        environment=SteadyEnvironment(power),
        power=power,
        disk=disk,
    )

"""Runs a real Swarm in the simulated world."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import prompts as prompt_files
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.resource_use import LoadLimit, Sample
from engine.domain.settings import Settings
from engine.domain.types import Intent, ModelName, Role, RunId
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.ports.world import World
from engine.runtime.host import Host
from engine.runtime.prompts import Prompts
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from engine.tools.toolbox import Toolbox
from tests import simulated

PROMPTS = Prompts(files(prompt_files))
TOOLBOX = Toolbox(Settings())


class OpenGate:
    """Implements `Gate`, with a slot for every command."""

    @asynccontextmanager
    async def pass_for(
        self, command: str, subtree: str, agent: str = "", on_wait: Callable[[str], None] = lambda what: None
    ) -> AsyncIterator[float]:
        yield 0.0

    def step_aside(self, command: str) -> Callable[[], None]:
        return lambda: None


class Generous:
    """Implements `Governor` for a machine that can carry any number of workers."""

    limit = 10_000

    def consider(self, sample: Sample) -> LoadLimit | None:
        return None


def engine_world(w: simulated.World, check: bool = False, **parts: object) -> World:
    """The simulated world as the engine gets it. `parts` replace some of it."""
    world = World(
        clock=w.clock,
        ids=w.ids,
        journal=w.journal,
        trunk=w.trunk,
        workspaces=w.workspaces,
        models=w.models,
        meters=w.meters,
        gate=OpenGate(),
        governor=Generous(),
        checker=w.checker if check else None,
        environment=w.environment,
    )
    return replace(world, **parts)  # type: ignore[arg-type]


def fresh(
    w: simulated.World,
    settings: Settings | None = None,
    *,
    intent: str = "Do it.",
    check: bool = False,
    **parts: object,
) -> Swarm:
    """A swarm at the start of a new run."""
    settings = settings or Settings()
    swarm = Swarm(Host(engine_world(w, check, **parts), settings, PROMPTS, TOOLBOX, Snapshot(), epoch=1))
    models = {role.value: ModelName("scripted:model") for role in Role}
    swarm.record(
        Draft(
            e.RunCreated(
                run=RunId("run"),
                repo=str(Path("/repo")),
                branch="main",
                base=w.commits.base,
                check="make test" if check else "",
                models=models,
                settings="{}",
                version="0",
            )
        ),
        Draft(e.EpochStarted(1, "simulated", "memory")),
        Draft(e.WorkersLimited(settings.swarm.workers, "settings")),
        Draft(e.IntentVersioned(Intent(1, w.clock.now(), "person", intent))),
    )
    return swarm


async def resumed(w: simulated.World, settings: Settings | None = None, *, check: bool = False) -> Swarm:
    """A swarm that resumes the run in the durable events of `w`."""
    snapshot = Snapshot()
    async for event in w.journal.events():
        fold(snapshot, event)
    epoch = snapshot.epoch + 1
    await w.workspaces.sweep([agent.id for agent in snapshot.agents.values() if not agent.ended])
    swarm = Swarm(Host(engine_world(w, check), settings or Settings(), PROMPTS, TOOLBOX, snapshot, epoch))
    swarm.record(Draft(e.EpochStarted(2, "simulated", "memory")))
    return swarm


def run(
    script: simulated.models.Script,
    examine: Callable[[Swarm, simulated.World, Outcome], None],
    *,
    settings: Settings | None = None,
    check: bool = False,
    intent: str = "Do it.",
    **options: object,
) -> None:
    """Run a fresh swarm to its end in virtual time, then examine it."""

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script, **options)  # type: ignore[arg-type]
        swarm = fresh(w, settings, check=check, intent=intent)
        examine(swarm, w, await swarm.run())

    simulated.simulate(main)

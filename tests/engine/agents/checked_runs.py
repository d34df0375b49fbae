"""Runs with a check in the simulated world, and what their events say."""

import asyncio
from collections.abc import Callable

from engine.domain import events as e
from engine.domain.commands import Stop
from engine.domain.settings import RepoSettings, Settings, SwarmSettings
from engine.domain.types import CommitId
from engine.orchestrator.swarm import Swarm
from tests import simulated
from tests.engine.scripts import Script
from tests.engine.swarms import fresh
from tests.simulated.merge import Tree


def checked(
    script: Script,
    verdict: Callable[[Tree], bool],
    settings: Settings | None = None,
    limit: int = 0,
    warm: Callable[[Tree], bool] | None = None,
) -> tuple[Swarm, simulated.World, list[e.Event]]:
    """A whole run with a check, whose verdict is that of `warm` where earlier builds are left.

    Whenever green moves, the passed check of that commit from nothing must be on disk.
    """
    events: list[e.Event] = []

    async def main(clock: simulated.SimulatedClock) -> tuple[Swarm, simulated.World]:
        w = simulated.world(clock, script, verdict=verdict)
        move_green = w.trunk.move_green

        async def watched(commit: CommitId) -> None:
            durable = [event.body async for event in w.journal.events() if event.kind == "check_finished"]
            assert any(body.check.commit == commit and body.check.passed and body.check.clean for body in durable)
            await move_green(commit)

        w.trunk.move_green = watched  # type: ignore[method-assign]
        w.checker.warm_verdict = warm
        swarm = fresh(w, settings, check=True)
        swarm.on_change(events.append)
        if limit:
            asyncio.get_running_loop().call_later(limit, lambda: asyncio.ensure_future(swarm.submit(Stop())))
        await swarm.run()
        return swarm, w

    swarm, w = simulated.simulate(main)
    return swarm, w, events


def bodies(events: list[e.Event], kind: type) -> list:
    return [event.body for event in events if isinstance(event.body, kind)]


def one_at_a_time(landings: int, **more: object) -> Settings:
    return Settings(swarm=SwarmSettings(workers=1), repo=RepoSettings(check_landings=landings, **more))


def passes(files: Tree) -> bool:
    return b"bug\n" not in files.values()

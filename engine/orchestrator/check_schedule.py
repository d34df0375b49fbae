"""Decides when trunk is checked: at the start, after a number of landings, after a fixup, and at intervals."""

import asyncio

from engine.agents.reconciler import Reconciler
from engine.domain import events as e
from engine.domain.events import Event
from engine.domain.types import TaskKind
from engine.domain.units import duration_s
from engine.policy.build_files import is_build_file
from engine.policy.run_end import Verdict
from engine.runtime.host import Host


class CheckSchedule:
    """Starts the reconciler when a check is due."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.reconciler = Reconciler(host)
        self._due = asyncio.Event()
        self._unchecked_landings = 0

    def agent_spawned(self, event: Event, body: e.AgentSpawned) -> None:
        """Check the commit that the run starts from, once the root planner exists."""
        if body.spawned.parent is None:
            self._due.set()

    def task_ended(self, event: Event, body: e.TaskEnded) -> None:
        """Check trunk after a fixup."""
        if event.task and self._host.snapshot.tasks[event.task].kind is TaskKind.FIXUP:
            self._due.set()

    def landing_finished(self, event: Event, body: e.LandingFinished) -> None:
        """Check trunk after the number of landings in the settings, or at once if what the setup command makes may
        change."""
        if body.landing.commit is None:
            return
        self._unchecked_landings += 1
        setup = self._host.settings.build.setup
        stale = bool(setup) and any(is_build_file(path, setup) for path in body.landing.paths)
        if stale or self._unchecked_landings >= self._host.settings.repo.check_landings:
            self._due.set()

    async def run(self) -> None:
        """Reconcile whenever a check is due, until cancelled."""
        every = self._host.settings.repo.check_every
        while True:
            try:
                async with asyncio.timeout(duration_s(every) if every else None):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            self._unchecked_landings = 0
            await self.reconciler.reconcile()

    async def last_verdict(self) -> Verdict:
        """Check trunk a last time, when the planners are done."""
        verdict = await self.reconciler.reconcile(last=True)
        self._unchecked_landings = 0
        return verdict

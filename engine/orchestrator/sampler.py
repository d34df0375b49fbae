"""Samples the machine and the agents at intervals, for the record and for the governor."""

from collections.abc import Callable

from engine.domain import events as e
from engine.domain.events import Draft
from engine.ports.machine import Governor
from engine.ports.protocols import Meters
from engine.runtime.recorder import RunRecorder

SAMPLE_S = 5.0
"""Seconds between two resource samples."""
AGENTS_SAMPLED_S = 15.0
"""The least time between two records of what each agent uses, in seconds."""
AGENTS_PER_S = 4.0
"""The most agents recorded per second, on average, so that the journal of a long run stays small."""


class Sampler:
    """Records resource samples and the governor's limits. `look_again` is called after each sample."""

    def __init__(self, run: RunRecorder, meters: Meters, governor: Governor, look_again: Callable[[], None]) -> None:
        self._run = run
        self._meters = meters
        self._governor = governor
        self._look_again = look_again

    async def run(self) -> None:
        """Sample until cancelled."""
        due = 0.0
        while True:
            sample = await self._meters.sample()
            drafts = [Draft(e.Sampled(sample))]
            uses, now = self._meters.uses(), self._run.clock.monotonic()
            if now >= due and (uses or self._run.snapshot.uses):
                drafts.append(Draft(e.AgentsSampled(uses)))
                due = now + max(AGENTS_SAMPLED_S, len(uses) / AGENTS_PER_S)
            self._run.record(*drafts)
            if (change := self._governor.consider(sample)) is not None:
                self._run.record(Draft(e.LoadLimited(change)))
            self._look_again()
            await self._run.clock.sleep(SAMPLE_S)

"""Samples the machine and the agents at intervals, for the record and for the governor."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.domain import events as e
from engine.domain.events import Draft
from engine.runtime.host import Host

SAMPLE_S = 5.0
"""Seconds between two resource samples."""
AGENTS_SAMPLED_S = 15.0
"""The least time between two records of what each agent uses, in seconds."""
AGENTS_PER_S = 4.0
"""The most agents recorded per second, on average, so that the journal of a long run stays small."""


@dataclass(frozen=True)
class Sampler:
    """Records resource samples and the governor's limits. `look_again` is called after each sample."""

    host: Host
    look_again: Callable[[], None]

    async def run(self) -> None:
        """Sample until cancelled."""
        due = 0.0
        while True:
            sample = await self.host.meters.sample()
            drafts = [Draft(e.Sampled(sample))]
            uses, now = self.host.meters.uses(), self.host.clock.monotonic()
            calls = self.host.calls.under_way.items()
            arriving = {agent: usage.input + usage.output for agent, usage in calls if usage.output}
            before = self.host.snapshot.uses or self.host.snapshot.arriving
            if now >= due and (uses or arriving or before):
                drafts.append(Draft(e.AgentsSampled(uses, arriving)))
                due = now + max(AGENTS_SAMPLED_S, len(uses | arriving) / AGENTS_PER_S)
            self.host.record(*drafts)
            if (change := self.host.governor.consider(sample)) is not None:
                self.host.record(Draft(e.LoadLimited(change)))
            self.look_again()
            await self.host.clock.sleep(SAMPLE_S)

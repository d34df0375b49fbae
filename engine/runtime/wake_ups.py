"""Wakes agents that wait for a message."""

import asyncio

from engine.domain.events import Event, MessageQueued
from engine.domain.types import AgentId
from engine.state.snapshot import Snapshot


class WakeUps:
    """One signal for each waiting agent. The messages themselves are in the snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._arrived: dict[AgentId, asyncio.Event] = {}

    async def message_for(self, agent: AgentId) -> None:
        """Return once the agent's inbox holds a message."""
        arrived = self._arrived.setdefault(agent, asyncio.Event())
        try:
            while not self._snapshot.inboxes.get(agent):
                arrived.clear()
                await arrived.wait()
        finally:
            self._arrived.pop(agent, None)

    def wake(self, event: Event, body: MessageQueued) -> None:
        """Wake the agent that has got a message."""
        if (arrived := self._arrived.get(body.message.to_agent)) is not None:
            arrived.set()

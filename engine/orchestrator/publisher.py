"""Publishes trunk and green into the person's repo as they move."""

import asyncio

from engine.domain import events as e
from engine.domain.errors import SwarmError
from engine.domain.events import Draft, Event
from engine.runtime.host import Host

PUBLISH_S = 2.0
"""The least time between two writes to the person's repo, in seconds."""


class Publisher:
    """Writes the run's refs into the person's repo. An error there becomes a warning and stops nothing."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._wanted = asyncio.Event()

    def landing_finished(self, event: Event, body: e.LandingFinished) -> None:
        """Publish soon if the landing moved trunk."""
        if body.landing.commit is not None:
            self._wanted.set()

    def green_moved(self, event: Event, body: e.GreenMoved) -> None:
        """Publish soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Publish whenever a ref has moved, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.publish()
            await self._host.clock.sleep(PUBLISH_S)

    async def publish(self) -> None:
        """Write trunk and green into the person's repo now."""
        snapshot = self._host.snapshot
        try:
            left_alone = await self._host.trunk.publish()
        except SwarmError as error:
            left_alone = f"your repo was not updated: {error.message}"
        if left_alone and left_alone != snapshot.left_alone:
            self._host.record(Draft(e.Warned(left_alone)))
        self._host.record(Draft(e.Published(snapshot.trunk, snapshot.green, left_alone)))

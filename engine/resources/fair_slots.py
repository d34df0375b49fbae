"""A limited number of slots, shared fairly between subtrees; those who find none free wait."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct


class _Place(Struct, eq=False):
    """One that wants a slot; `granted` is done once it has one."""

    subtree: str
    agent: str
    granted: asyncio.Future[None]
    held: bool = False


class FairSlots:
    """A free slot goes to the subtree that holds fewest, of those to the one served longest ago, and there to the
    oldest agent, so that tasks under way are finished first."""

    def __init__(self, most: float = math.inf) -> None:
        self._most = most
        self._aside = 0
        self._waiting: dict[str, list[_Place]] = {}
        self._held: dict[str, int] = {}
        self._served: dict[str, int] = {}
        self._turn = 0

    @property
    def most(self) -> float:
        return self._most

    @most.setter
    def most(self, most: float) -> None:
        """A higher number takes effect at once, a lower one as slots become free."""
        self._most = most
        self._grant()

    @asynccontextmanager
    async def hold(self, subtree: str, agent: str, on_wait: Callable[[int], None]) -> AsyncIterator[None]:
        """Hold a slot. `on_wait` is called with the number of others that wait, if none is free at once."""
        place = _Place(subtree, agent, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(subtree, []).append(place)
        self._grant()
        if not place.held:
            on_wait(sum(map(len, self._waiting.values())) - 1)
        try:
            await place.granted
            yield
        finally:
            self._leave(place)

    def lend(self) -> Callable[[], None]:
        """Free the slot of a holder that is suspended. Call what is returned to take it back, which does not wait: one
        slot too many may be held then."""
        self._aside += 1
        self._grant()

        def back() -> None:
            self._aside -= 1

        return back

    def _grant(self) -> None:
        while self._waiting and sum(self._held.values()) < self._most + self._aside:
            subtree = min(self._waiting, key=lambda key: (self._held.get(key, 0), self._served.get(key, 0)))
            queue = self._waiting[subtree]
            place = min(queue, key=lambda place: place.agent)
            self._drop(place)
            self._turn += 1
            self._served[subtree] = self._turn
            self._held[subtree] = self._held.get(subtree, 0) + 1
            place.held = True
            if not place.granted.done():
                place.granted.set_result(None)

    def _drop(self, place: _Place) -> None:
        queue = self._waiting[place.subtree]
        queue.remove(place)
        if not queue:
            del self._waiting[place.subtree]

    def _leave(self, place: _Place) -> None:
        """Free the slot or leave the queue, also if the holder is cancelled just when it gets the slot."""
        if not place.held:
            self._drop(place)
            return
        self._held[place.subtree] -= 1
        if not self._held[place.subtree]:
            del self._held[place.subtree]
        self._grant()

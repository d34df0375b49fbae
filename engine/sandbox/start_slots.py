"""Limits how many sandboxes start at once: each needs a CPU, and two hundred at once would delay everything else."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class StartSlots:
    """Slots for starting sandboxes. Urgent starts come before starts ahead of need. Use from one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._needed: deque[asyncio.Future[None]] = deque()
        self._ahead: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self, *, needed: bool) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            (self._needed if needed else self._ahead).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the slot was granted at the same moment
                    self._give()
                raise
        try:
            yield
        finally:
            self._give()

    def _give(self) -> None:
        for waiting in (self._needed, self._ahead):
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

"""A real clock, for tests on real sockets."""

import asyncio
import time


class RealClock:
    """Implements `Clock`."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

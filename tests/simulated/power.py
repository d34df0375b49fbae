"""Whether a simulated process is alive or killed, for the parts of the world that outlive it."""

import asyncio


class Power:
    """Each part of the world asks it before an effect. Once power has failed, that waits for ever."""

    def __init__(self) -> None:
        self.on = True
        self.failed = asyncio.Event()

    def fail(self) -> None:
        """Kill the process: from now on nothing that it does has an effect."""
        self.on = False
        self.failed.set()

    async def needed(self) -> None:
        """Return at once while the process is alive, and never after it is killed."""
        if not self.on:
            await asyncio.Event().wait()

"""The difference between a process that lives and one that was killed, for parts that outlive it."""

import asyncio


class Power:
    """Off, every effect of a part that asks it hangs for ever, as it would in a killed process."""

    def __init__(self) -> None:
        self.on = True
        self.failed = asyncio.Event()

    def fail(self) -> None:
        """Kill the process: nothing it does from now on has an effect."""
        self.on = False
        self.failed.set()

    async def needed(self) -> None:
        """Return at once while the process lives, never afterwards."""
        if not self.on:
            await asyncio.Event().wait()

"""Few sandboxes start at once, and urgent ones go first."""

import asyncio

from engine.sandbox.start_slots import StartSlots


class Starts:
    """Takes slots for names and records who got one; each keeps its slot until `end`."""

    def __init__(self, count: int) -> None:
        self.slots = StartSlots(count)
        self.began: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, *, needed: bool) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._take(name, needed))
        await self.settle()

    async def _take(self, name: str, needed: bool) -> None:
        async with self.slots.slot(needed=needed):
            self.began.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_urgent_starts_come_before_starts_ahead_of_need() -> None:
    starts = Starts(2)
    for name in ("ahead 1", "ahead 2", "ahead 3"):
        await starts.ask(name, needed=False)
    await starts.ask("needed 1", needed=True)
    await starts.ask("needed 2", needed=True)
    assert starts.began == ["ahead 1", "ahead 2"]
    for name in ("ahead 2", "ahead 1", "needed 1", "needed 2", "ahead 3"):
        await starts.end(name)
    assert starts.began == ["ahead 1", "ahead 2", "needed 1", "needed 2", "ahead 3"]
    await starts.ask("later", needed=False)
    assert starts.began[-1] == "later"


async def test_a_cancelled_start_takes_no_slot() -> None:
    starts = Starts(1)
    for name in ("first", "second", "third"):
        await starts.ask(name, needed=True)
    starts.tasks["second"].cancel()
    await starts.end("first")
    assert starts.began == ["first", "third"]
    await starts.ask("fourth", needed=True)
    await starts.ask("fifth", needed=True)
    starts._ends["third"].set()
    for _ in range(2):  # the slot is granted, and its owner is cancelled before it notices
        await asyncio.sleep(0)
    starts.tasks["fourth"].cancel()
    await starts.settle()
    assert starts.began[-1] == "fifth"

"""Finds commands that hold what no measurement shows: charges them with what the machine lacks and nobody explains.

A command that *may* hide something (`opaque`) is charged with the machine's unexplained loss since it began. If that
exceeds its limit, all commands are suspended, measured, and watched for a while: what other programs take goes on. Then
those that are still above their limit are ended, one at a time, until the rest is explained.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from engine.sandbox.shared_limits import SharedLimit

LOOK_S = 1.0
SAMPLES = 4
"""What other programs take has to go on through so many parts of a look."""
GONE_S = 10.0
"""Seconds that an ended command may take to release what it held."""
SUSPECTED = "something is hidden"
"""Why commands are suspended."""


class Suspendable(Protocol):
    """A sandbox that runs a command."""

    async def freeze(self, why: str) -> None: ...

    async def thaw(self, why: str) -> None: ...

    def end_command(self, why: str) -> None: ...


@dataclass(eq=False)
class Account:
    """What one running command has of a resource.

    `known` counts against its limit `allowed`; `shown` is how much of the machine's use it explains. `look` measures
    them.
    """

    sandbox: Suspendable
    allowed: int
    look: Callable[[], Awaitable[None]] | None = None
    known: int = 0
    shown: int = 0
    opaque: bool = False
    hidden: int = 0
    """At most so much does it hold unseen."""
    ended: bool = False
    """Whether its command was ended for what it hid."""
    since: float = 0.0
    """When the machine's unexplained use began to rise."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class Unseen:
    """The unexplained use of one resource. `machine` is how much of it everybody uses.

    Looks every second while commands run; `also` is called before.
    """

    def __init__(
        self, shared: SharedLimit, machine: Callable[[], int], also: Callable[[], None] = lambda: None
    ) -> None:
        self._shared = shared
        self._machine = machine
        self._also = also
        self._watching: asyncio.Task[None] | None = None
        self._accounts: list[Account] = []
        self._idle: dict[object, int] = {}
        self._leaving: set[object] = set()
        self._unexplained: int | None = None

    @property
    def accounts(self) -> list[Account]:
        return list(self._accounts)

    def open(self, account: Account, idle: object = None) -> None:
        """A command starts. What it explains at first was explained under the name `idle` before."""
        self._update()
        self._idle.pop(idle, None)
        account.since = time.monotonic()
        self._accounts.append(account)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    def note(self, account: Account, known: int, shown: int, *, opaque: bool) -> None:
        """A measurement of what a command has."""
        account.known, account.shown, account.opaque = known, shown, opaque

    def close(self, account: Account, idle: object = None) -> None:
        """The command has ended; what it explained stays under the name `idle`, if that is given."""
        self._accounts.remove(account)
        if idle is not None:
            self._idle[idle] = account.shown
        account.closed.set()

    def explain(self, idle: object, size: int) -> None:
        """What is used while no command runs."""
        self._idle[idle] = size
        self._update()

    def leave(self, idle: object) -> None:
        """It is being removed."""
        self._leaving.add(idle)

    def release(self) -> Callable[[], None]:
        """To be called when all is removed that is being removed now."""
        leaving, self._leaving = self._leaving, set()

        def removed() -> None:
            self._update()
            for idle in leaving:
                self._idle.pop(idle, None)
            self._unexplained = self._gap()  # the machine's use has fallen before

        return removed

    async def _watch(self) -> None:
        while self._accounts:
            await asyncio.sleep(LOOK_S)
            self._also()
            self._update()
            if any(map(self._cause, self._accounts)):
                await self._judge()

    def _gap(self) -> int:
        shown = sum(account.shown for account in self._accounts) + sum(self._idle.values())
        return self._machine() - shown

    def _update(self) -> None:
        gap = self._gap()
        rise = gap - (gap if self._unexplained is None else self._unexplained)
        self._unexplained = gap
        for account in self._accounts:
            account.hidden = max(0, account.hidden + rise)
            if account.hidden == 0:
                account.since = time.monotonic()

    def _cause(self, account: Account) -> str:
        """Why a command is to be ended; empty if it is not."""
        if not account.opaque:
            return ""
        if account.known + account.hidden > account.allowed:
            return self._shared.name
        return self._shared.cause if self._shared.total + account.hidden > self._shared.limit else ""

    async def _judge(self) -> None:
        frozen = self.accounts
        await asyncio.gather(*(account.sandbox.freeze(SUSPECTED) for account in frozen), return_exceptions=True)
        try:
            await asyncio.gather(*(account.look() for account in frozen if account.look is not None))
            self._update()
            if any(map(self._cause, self._accounts)):
                await self._forgive_what_others_take()
            while suspects := [account for account in self._accounts if self._cause(account)]:
                worst = max(suspects, key=lambda account: account.known + account.hidden)
                worst.ended = True
                worst.sandbox.end_command(self._cause(worst))
                worst.opaque = False
                try:
                    async with asyncio.timeout(GONE_S):
                        await worst.closed.wait()
                except TimeoutError:
                    continue
                self._update()
        finally:
            await asyncio.gather(*(account.sandbox.thaw(SUSPECTED) for account in frozen), return_exceptions=True)

    async def _forgive_what_others_take(self) -> None:
        """What the machine loses while no command runs is taken by other programs, and was so before."""
        rates = []
        for _ in range(SAMPLES):
            before, began = self._machine(), time.monotonic()
            await asyncio.sleep(LOOK_S / SAMPLES)
            rates.append((self._machine() - before) / (time.monotonic() - began))
        self._update()
        now = time.monotonic()
        for account in self._accounts:
            account.hidden = max(0, account.hidden - int(max(0, min(rates)) * (now - account.since)))

"""The real clock, randomness and ids."""

import asyncio
import random
import secrets
import time

from engine.domain.types import Micros

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


class SystemClock:
    """Implements protocols.Clock."""

    def now(self) -> Micros:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRandomness:
    """Implements protocols.Randomness; a seed makes it repeatable."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed or None)  # noqa: S311 - jitter, not secrets

    def random(self) -> float:
        return self._random.random()


class SortableIds:
    """Implements protocols.Ids: microseconds since 1970 (11 digits) and 3 random ones, never twice the same.

    An id made later sorts later, also across restarts, as long as the clock does not go back.
    """

    def __init__(self) -> None:
        self._last = 0
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - tells ids of two clocks apart, no secret

    def new(self, prefix: str) -> str:
        self._last = max(self._last + 1, time.time_ns() // 1_000)
        return prefix + base32(self._last << 15 | self._random.getrandbits(15), 14)


def base32(number: int, width: int) -> str:
    """The number in `width` base-32 digits that sort like it."""
    return "".join([_DIGITS[number >> 5 * place & 31] for place in range(width - 1, -1, -1)])

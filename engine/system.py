"""The system's clock, randomness and ids."""

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
    """Implements protocols.Randomness. With a seed other than 0 it is repeatable."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed or None)  # noqa: S311 - for jitter, not for secrets

    def random(self) -> float:
        return self._random.random()


class SortableIds:
    """Implements protocols.Ids: 11 digits for the microseconds since 1970, then 3 random ones. No id comes twice.

    Later ids sort later, also across restarts, as long as the clock is not set back.
    """

    def __init__(self) -> None:
        self._last = 0
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - tells two processes' ids apart, no secret

    def new(self, prefix: str) -> str:
        self._last = max(self._last + 1, time.time_ns() // 1_000)
        return prefix + base32(self._last << 15 | self._random.getrandbits(15), 14)


def base32(number: int, width: int) -> str:
    """The number as `width` base-32 digits, which sort like numbers."""
    return "".join([_DIGITS[number >> 5 * place & 31] for place in range(width - 1, -1, -1)])

"""A disk that stops taking writes for a while: full, read-only, or with errors. What lies on it can be read."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from engine.domain.errors import ErrorKind, SwarmError
from tests.simulated.time import SimulatedClock


@dataclass(frozen=True)
class Trouble:
    """From a simulated second on, for so long. `code` is ENOSPC, EROFS or EIO; `part` one of PARTS, or all of them."""

    start: float
    length: float
    code: int
    part: str = ""


class Disk:
    """Parts that write ask it before."""

    def __init__(self, clock: SimulatedClock, troubles: Sequence[Trouble] = ()) -> None:
        self.troubles = tuple(troubles)
        self._clock = clock

    def trouble(self, part: str) -> Trouble | None:
        """What is wrong now with a part of what lies on it."""
        now = self._clock.elapsed
        return next((t for t in self.troubles if t.start <= now < t.start + t.length and t.part in ("", part)), None)

    @property
    def well_in_s(self) -> float:
        """Seconds until all of it takes writes."""
        at = now = self._clock.elapsed
        while ends := [t.start + t.length for t in self.troubles if t.start <= at < t.start + t.length]:
            at = max(ends)
        return at - now

    def write(self, part: str) -> None:
        """Raises OSError."""
        if (trouble := self.trouble(part)) is not None:
            raise OSError(trouble.code, os.strerror(trouble.code))

    def write_as(self, kind: ErrorKind, part: str) -> None:
        """Raises SwarmError, as the parts do that know what to say of it."""
        try:
            self.write(part)
        except OSError as error:
            raise SwarmError(kind, f"it cannot be written: {error.strerror}", "free some disk space") from error


PARTS = ("journal", "objects", "copies")
CODES = (errno.ENOSPC, errno.EROFS, errno.EIO)

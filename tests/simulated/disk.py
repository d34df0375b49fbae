"""A disk that refuses writes for a while: full, read-only, or with errors. Reading always works."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from engine.domain.errors import ErrorKind, SwarmError
from tests.simulated.time import SimulatedClock


@dataclass(frozen=True)
class Trouble:
    """When it starts and how long it lasts, in simulated seconds. `code`: ENOSPC, EROFS, EIO. `part`: empty for all."""

    start: float
    length: float
    code: int
    part: str = ""


class Disk:
    """Each part that writes asks it first."""

    def __init__(self, clock: SimulatedClock, troubles: Sequence[Trouble] = ()) -> None:
        self.troubles = tuple(troubles)
        self._clock = clock

    def trouble(self, part: str) -> Trouble | None:
        """The trouble that a part has now, if any."""
        now = self._clock.elapsed
        return next((t for t in self.troubles if t.start <= now < t.start + t.length and t.part in ("", part)), None)

    @property
    def well_in_s(self) -> float:
        """Seconds until writes to every part succeed."""
        at = now = self._clock.elapsed
        while ends := [t.start + t.length for t in self.troubles if t.start <= at < t.start + t.length]:
            at = max(ends)
        return at - now

    def write(self, part: str) -> None:
        """Raise OSError if a part cannot be written now."""
        if (trouble := self.trouble(part)) is not None:
            raise OSError(trouble.code, os.strerror(trouble.code))

    def write_as(self, kind: ErrorKind, part: str) -> None:
        """Raise SwarmError if a part cannot be written now, for parts that report it so."""
        try:
            self.write(part)
        except OSError as error:
            raise SwarmError(kind, f"cannot write: {error.strerror}", "free some disk space") from error


PARTS = ("journal", "objects", "copies")
CODES = (errno.ENOSPC, errno.EROFS, errno.EIO)

"""Reports how far the opening of a journal has come, and lets the one who waits for it stop it."""

import time
from collections.abc import Callable
from threading import Event

from msgspec import Struct

EVERY_S = 0.25
"""Seconds before the first report, and between two reports."""


class OpeningProgress(Struct, frozen=True):
    """How much of an opening is done. `what` is its present step, such as `migrating the journal`."""

    what: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.what}: {100 * min(self.done, self.total) // max(1, self.total)}%"


class OpeningStopped(Exception):  # noqa: N818 - somebody asked for it
    """The opening was stopped. The next opening continues where this one stopped."""


class Opening:
    """Passes on a few reports a second, from whichever thread does the work."""

    def __init__(
        self, report: Callable[[OpeningProgress], None] = lambda progress: None, every_s: float = EVERY_S
    ) -> None:
        self._report = report
        self._every_s = every_s
        self._stopped = Event()
        self._next = time.monotonic() + every_s

    def stop(self) -> None:
        """Make the next `at` raise OpeningStopped."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def at(self, what: str, done: int, total: int) -> None:
        """Report how far the work has come. Raises OpeningStopped."""
        if self.stopped:
            raise OpeningStopped
        if time.monotonic() >= self._next:
            self._report(OpeningProgress(what, done, total))
            self._next = time.monotonic() + self._every_s

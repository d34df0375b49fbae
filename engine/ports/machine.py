"""What keeps the machine usable: the build gate and the governor."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.domain.types import LoadLimit, Sample


class Gate(Protocol):
    """Lets only so many builds run at once."""

    def pass_for(
        self, command: str, subtree: str, agent: str = ..., on_wait: Callable[[int], None] = ...
    ) -> AbstractAsyncContextManager[float]:
        """Wait for a place if the command builds; gives the seconds waited.

        `on_wait` is told, when there is no place at once, how many others wait.
        """
        ...

    def step_aside(self, command: str) -> Callable[[], None]:
        """Let another build in while this one stands still; what is returned takes the place back."""
        ...


class Governor(Protocol):
    """Slows the intake of work when the machine is the hot spot; never kills what runs."""

    @property
    def limit(self) -> int:
        """How many workers the machine can carry at this moment."""
        ...

    def consider(self, sample: Sample) -> LoadLimit | None:
        """Look at a sample; what is allowed from now on when that has changed, else None."""
        ...

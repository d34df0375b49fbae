"""Protocols of what keeps the machine usable: the build gate and the governor."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.domain.resource_use import LoadLimit, Sample


class Gate(Protocol):
    """The build gate: limits how many builds run at once."""

    def pass_for(
        self, command: str, subtree: str, agent: str = ..., on_wait: Callable[[int], None] = ...
    ) -> AbstractAsyncContextManager[float]:
        """Hold a slot while the command runs, if it is a build. Yields the seconds waited for the slot.

        `subtree`: the planner whose share of the slots this counts against. `on_wait` is called with the number of
        others that wait, if no slot is free at once.
        """
        ...

    def step_aside(self, command: str) -> Callable[[], None]:
        """Free the slot of a suspended build. Call what is returned to take the slot back."""
        ...


class Governor(Protocol):
    """Limits how many workers start while the machine is overloaded. It never stops one that runs."""

    @property
    def limit(self) -> int:
        """How many workers the machine can carry now."""
        ...

    def consider(self, sample: Sample) -> LoadLimit | None:
        """Take a new sample into account. Returns the new limit if it has changed, else None."""
        ...

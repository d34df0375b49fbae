"""Everything that a swarm needs of the world, as one value: who builds it decides what is real."""

from dataclasses import dataclass, field
from typing import Protocol

from engine.agents.host import Gate
from engine.masking import Mask
from engine.protocols import Checker, Clock, Ids, Journal, Meters, Models, Trunk, Workspaces
from engine.types import LoadLimit, Sample


class Governor(Protocol):
    """Slows the intake of work when the machine is the hot spot; never kills what runs."""

    @property
    def limit(self) -> int:
        """How many workers the machine can carry at this moment."""
        ...

    def consider(self, sample: Sample) -> LoadLimit | None:
        """Look at a sample; what is allowed from now on when that has changed, else None."""
        ...


@dataclass(frozen=True)
class World:
    """One implementation of each protocol. `checker` is None when no check is configured."""

    clock: Clock
    ids: Ids
    journal: Journal
    trunk: Trunk
    workspaces: Workspaces
    models: Models
    meters: Meters
    gate: Gate
    governor: Governor
    checker: Checker | None
    mask: Mask = field(default_factory=Mask)

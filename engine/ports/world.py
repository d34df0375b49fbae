"""Everything that a swarm needs of the world, as one value: who builds it decides what is real."""

from dataclasses import dataclass, field

from engine.domain.masking import Mask
from engine.ports.machine import Gate, Governor
from engine.ports.protocols import Checker, Clock, Ids, Journal, Meters, Models, Trunk, Workspaces


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

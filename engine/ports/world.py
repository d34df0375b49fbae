"""The world of one swarm, as one value: an implementation of each protocol, real or simulated."""

from dataclasses import dataclass, field

from engine.domain.masking import Mask
from engine.ports.protocols import (
    Checker,
    Clock,
    EnvironmentProbe,
    Gate,
    Governor,
    Ids,
    Journal,
    Meters,
    Models,
    Surveys,
    Trunk,
    Workspaces,
)


@dataclass(frozen=True)
class World:
    """`checker` is None if no check is configured, `surveys` if nothing is known outside of the run, `environment` if
    nobody looks at what commands find."""

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
    surveys: Surveys | None = None
    environment: EnvironmentProbe | None = None
    mask: Mask = field(default_factory=Mask)

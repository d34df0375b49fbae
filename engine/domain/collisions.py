"""Counts where landings collide: in which files, how large these are, and below which planner."""

from dataclasses import dataclass, field

from msgspec import Struct

from engine.domain.types import AgentId, Landing, LandingState

LARGE = 32 * 1024
"""A file of this many bytes or more is large."""
MANY = 5
"""A file that this many landings changed is one that many change."""


class Tries(Struct, frozen=True):
    """How many of a planner's tries to land succeeded, and how many met a conflict."""

    landed: int = 0
    conflicts: int = 0

    def __add__(self, other: "Tries") -> "Tries":
        return Tries(self.landed + other.landed, self.conflicts + other.conflicts)


@dataclass(slots=True)
class Collisions:
    """The counts so far; `add` updates them in place."""

    landed: dict[str, int] = field(default_factory=dict)
    """The number of landings that changed each file."""
    conflicted: dict[str, int] = field(default_factory=dict)
    """The number of conflicts in each file."""
    large: dict[str, int] = field(default_factory=dict)
    """The size in bytes of each file that landings changed and that is large."""
    of_planner: dict[AgentId, Tries] = field(default_factory=dict)
    """For the tasks of each planner, without those of planners below it that are still in the snapshot."""

    def add(self, landing: Landing, planner: AgentId) -> None:
        """Count a finished landing; `planner` is the planner of its task."""
        for path in landing.conflicts:
            self.conflicted[path] = self.conflicted.get(path, 0) + 1
        if landing.commit is not None:
            for path in landing.paths:
                self.landed[path] = self.landed.get(path, 0) + 1
                self.large.pop(path, None)
            self.large |= landing.large
        conflicts = landing.state is LandingState.CONFLICTED
        if conflicts or landing.commit is not None:
            self.of_planner[planner] = self.of_planner.get(planner, Tries()) + Tries(int(not conflicts), int(conflicts))

    def move(self, planner: AgentId, above: AgentId) -> None:
        """Count a planner's tries as those of the planner above it."""
        if (tries := self.of_planner.pop(planner, None)) is not None:
            self.of_planner[above] = self.of_planner.get(above, Tries()) + tries

    def copy(self) -> "Collisions":
        return Collisions(self.landed.copy(), self.conflicted.copy(), self.large.copy(), self.of_planner.copy())

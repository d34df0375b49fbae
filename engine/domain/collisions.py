"""Where landings collide, counted as they end: in which files, how large ones, below which planner. Pure."""

from dataclasses import dataclass, field

from msgspec import Struct

from engine.domain.types import AgentId, Landing, LandingState

LARGE = 32 * 1024
"""Bytes from which a file is large."""
MANY = 5
"""Landings that make a file one that many change."""


class Tries(Struct, frozen=True):
    """What became of one planner's landings: how many landed, how many met a conflict."""

    landed: int = 0
    conflicts: int = 0

    @property
    def conflict_rate(self) -> float | None:
        """Conflicts for each try; None before the first."""
        tries = self.landed + self.conflicts
        return self.conflicts / tries if tries else None

    def __add__(self, other: "Tries") -> "Tries":
        return Tries(self.landed + other.landed, self.conflicts + other.conflicts)


@dataclass(slots=True)
class Collisions:
    """`add` changes it in place."""

    landed: dict[str, int] = field(default_factory=dict)
    """Landings that changed each file."""
    conflicted: dict[str, int] = field(default_factory=dict)
    """Conflicts in each file."""
    large: dict[str, int] = field(default_factory=dict)
    """Bytes of each file that landings changed and that is large now."""
    of_planner: dict[AgentId, Tries] = field(default_factory=dict)
    """The tasks of each planner, without those of planners below it."""

    def add(self, landing: Landing, planner: AgentId) -> None:
        """Count a landing that has ended; `planner` is its task's."""
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

    def copy(self) -> "Collisions":
        return Collisions(self.landed.copy(), self.conflicted.copy(), self.large.copy(), self.of_planner.copy())

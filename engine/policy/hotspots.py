"""Finds the files in which landings collide most, and decides when a planner is told about one."""

from msgspec import Struct

from engine.domain.types import LandingState, Task
from engine.state.snapshot import Snapshot

HOT = 3
"""Conflicts in one file at which the planner is told; it is told again whenever they have doubled."""


class HotFile(Struct, frozen=True):
    """A file with its numbers of conflicts and landings, and its size in bytes if it is large, else 0."""

    path: str
    conflicts: int
    landings: int
    size: int = 0

    def __str__(self) -> str:
        large = f", {self.size // 1024} KiB" if self.size else ""
        return f"{self.path}: {self.conflicts} conflicts, {self.landings} landings{large}"


def newly_hot(snapshot: Snapshot, task: Task) -> list[HotFile]:
    """The files whose conflicts this task brought to the threshold, or to twice the number that a planner was told."""
    if not snapshot.tasks[task.id].conflicts:
        return []
    own: dict[str, int] = {}
    for landing in snapshot.landings:
        if landing.task == task.id and landing.state is LandingState.CONFLICTED:
            for path in landing.conflicts:
                own[path] = own.get(path, 0) + 1
    found = [
        _file(snapshot, path)
        for path, count in own.items()
        if _level(snapshot, path, 0) > _level(snapshot, path, count)
    ]
    return sorted(found, key=lambda file: (-file.conflicts, file.path))


def _file(snapshot: Snapshot, path: str) -> HotFile:
    counted = snapshot.contention
    return HotFile(path, counted.conflicted.get(path, 0), counted.landed.get(path, 0), counted.large.get(path, 0))


def _level(snapshot: Snapshot, path: str, without: int) -> int:
    """How often the count of conflicts has reached the threshold and doubled since."""
    return ((snapshot.contention.conflicted.get(path, 0) - without) // HOT).bit_length()

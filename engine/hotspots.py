"""Where landings collide: which files are touched and fought over most, and when a planner is to hear of it. Pure."""

from msgspec import Struct

from engine.snapshot import Snapshot
from engine.types import LandingState, Task

HOT = 3
"""Conflicts in one file at which its planner is told; and again whenever they have doubled."""


class HotFile(Struct, frozen=True):
    """`landings` that changed the file, `conflicts` that were in it."""

    path: str
    conflicts: int
    landings: int

    def __str__(self) -> str:
        return f"{self.path}: {self.conflicts} conflicts, {self.landings} landings"


def hottest(snapshot: Snapshot, most: int = 10) -> list[HotFile]:
    """The files with the most conflicts, then the most landings; only such as had a conflict."""
    files = [_file(snapshot, path) for path in snapshot.conflicted_files]
    return sorted(files, key=lambda file: (-file.conflicts, -file.landings, file.path))[:most]


def newly_hot(snapshot: Snapshot, task: Task) -> list[HotFile]:
    """The files that this task's conflicts made hot, or twice as hot as when a planner last heard of them."""
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
    return HotFile(path, snapshot.conflicted_files[path], snapshot.landed_files[path])


def _level(snapshot: Snapshot, path: str, without: int) -> int:
    """How often the count of conflicts has reached the threshold and doubled since."""
    return ((snapshot.conflicted_files[path] - without) // HOT).bit_length()

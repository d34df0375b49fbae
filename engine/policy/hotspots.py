"""Finds the files in which landings collide most, and decides when a planner is told about one."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from engine.domain.types import AgentId, LandingState, Task, TaskId, TaskKind
from engine.policy.scope import strays
from engine.state.snapshot import Snapshot

HOT = 2
"""Conflicts in one file at which the planner is told; it is told again whenever they have doubled."""
TASKS_NAMED = 10


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


class Meeting(Struct, frozen=True):
    """New tasks of a planner that would change a hot file at the same time as each other or as `others` open tasks."""

    file: HotFile
    tasks: tuple[str, ...]
    others: int

    def __str__(self) -> str:
        more = f" and {len(self.tasks) - TASKS_NAMED} more" if len(self.tasks) > TASKS_NAMED else ""
        open_ones = f", and open tasks: {self.others}" if self.others else ""
        return f"{self.file}; at the same time: {', '.join(self.tasks[:TASKS_NAMED])}{more}{open_ones}"


def meetings(snapshot: Snapshot, planner: AgentId, new: Sequence[Task]) -> list[Meeting]:
    """Where new tasks would meet, in hot files of which the planner has not been told at so many conflicts."""
    told = snapshot.hot_files_told.get(planner, {})
    hot = [
        path
        for path, conflicts in snapshot.contention.conflicted.items()
        if conflicts >= max(HOT, 2 * told.get(path, 0))
    ]
    if not hot:
        return []
    others = [task for task in snapshot.tasks.values() if not task.ended and task.kind is TaskKind.WORK]
    behind = _behind({task.id: task for task in (*others, *new)})
    found = []
    for path in hot:
        here, open_here = ([task for task in tasks if _touches(task, path)] for tasks in (new, others))

        def meets(task: Task, other: Task) -> bool:
            return task.id != other.id and task.id not in behind[other.id] and other.id not in behind[task.id]

        meeting = [task for task in here if any(meets(task, other) for other in (*here, *open_here))]
        if meeting:
            met = [other for other in open_here if any(meets(task, other) for task in meeting)]
            found.append(Meeting(_file(snapshot, path), tuple(task.spec.title for task in meeting), len(met)))
    return sorted(found, key=lambda meeting: (-meeting.file.conflicts, meeting.file.path))


def _behind(tasks: Mapping[TaskId, Task]) -> dict[TaskId, set[TaskId]]:
    """For each task all that it comes after, also through others."""
    found: dict[TaskId, set[TaskId]] = {}
    for id in tasks:
        stack, seen = [id], set[TaskId]()
        while stack:
            task = tasks.get(stack.pop())
            new = [other for other in task.spec.after if other not in seen] if task is not None else []
            seen.update(new)
            stack += new
        found[id] = seen
    return found


def _touches(task: Task, path: str) -> bool:
    """Whether a task is to change a file: its scope holds it, or its text names it."""
    spec = task.spec
    if spec.scope.strip() and not strays(spec.scope, (path,)):
        return True
    text = " ".join((spec.title, spec.goal, spec.acceptance))
    name = path.rpartition("/")[2]
    return path in text or re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None


def _file(snapshot: Snapshot, path: str) -> HotFile:
    counted = snapshot.contention
    return HotFile(path, counted.conflicted.get(path, 0), counted.landed.get(path, 0), counted.large.get(path, 0))


def _level(snapshot: Snapshot, path: str, without: int) -> int:
    """How often the count of conflicts has reached the threshold and doubled since."""
    return ((snapshot.contention.conflicted.get(path, 0) - without) // HOT).bit_length()

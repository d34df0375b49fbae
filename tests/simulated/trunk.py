"""A trunk in memory: commits are whole trees with one parent, landed by compare-and-swap."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from msgspec.structs import replace

from engine.domain.collisions import LARGE
from engine.domain.errors import ErrorKind
from engine.domain.types import CommitId, LandingState, TaskId
from engine.ports.protocols import LandResult
from tests.simulated.disk import Disk
from tests.simulated.merge import Tree, merge_trees
from tests.simulated.patch import changed_lines, unified_patch
from tests.simulated.power import Power
from tests.simulated.time import SimulatedClock


@dataclass(frozen=True)
class Commit:
    """A whole tree, its parent and its message."""

    parent: CommitId | None
    files: dict[str, bytes]
    message: str


@dataclass
class Commits:
    """A repo's objects and refs, which outlive a killed process."""

    made: dict[CommitId, Commit] = field(default_factory=dict)
    tip: CommitId = CommitId("")
    base: CommitId = CommitId("")
    green: CommitId | None = None
    published: tuple[CommitId, CommitId | None] | None = None

    def add(self, parent: CommitId | None, files: Tree, message: str) -> CommitId:
        """Store a commit. Its id depends only on its content."""
        digest = hashlib.sha1(f"{parent}\0{message}\0".encode())
        for path in sorted(files):
            digest.update(f"{path}\0{len(files[path])}\0".encode() + files[path])
        commit = CommitId(digest.hexdigest())
        self.made[commit] = Commit(parent, dict(files), message)
        return commit

    def files_of(self, name: str) -> dict[str, bytes]:
        """The tree of a commit, or with git's `COMMIT^` that of its parent."""
        made = self.made[CommitId(name.removesuffix("^"))]
        if name.endswith("^"):
            assert made.parent is not None, "the first commit has no parent"
            made = self.made[made.parent]
        return made.files

    def history(self, commit: CommitId | None) -> list[CommitId]:
        """The commit and its ancestors, newest first."""
        found = []
        while commit is not None:
            found.append(commit)
            commit = self.made[commit].parent
        return found


def changed_paths(old: Tree, new: Tree) -> tuple[str, ...]:
    """The paths in which two trees differ."""
    return tuple(sorted(path for path in {*old, *new} if old.get(path) != new.get(path)))


class MemoryTrunk:
    """Implements `Trunk` with file-by-file merges. `left_alone` is what `publish` returns.

    Every effect takes some simulated time (`delay`), so that landings overlap and the tip moves between reading and
    swapping. `before_swap` is called right before each swap, where a test may move trunk.
    """

    ATTEMPTS = 16

    def __init__(
        self, commits: Commits, clock: SimulatedClock, power: Power, disk: Disk, delay: Callable[[], float]
    ) -> None:
        self.commits = commits
        self._disk = disk
        self._clock = clock
        self._power = power
        self._delay = delay
        self.left_alone = ""
        self.retries = 0
        self.before_swap: Callable[[], None] = lambda: None

    @property
    def files(self) -> dict[str, bytes]:
        """The files at the tip of trunk."""
        return dict(self.commits.made[self.commits.tip].files)

    def move(self, files: Tree, message: str = "from outside") -> CommitId:
        """Commit on the tip as someone else would, so that trunk has moved."""
        self.commits.tip = self.commits.add(self.commits.tip, {**self.files, **files}, message)
        return self.commits.tip

    async def tip(self) -> CommitId:
        await self._moment()
        return self.commits.tip

    async def land(self, change: CommitId, message: str) -> LandResult:
        await self._moment()
        offered = self.commits.made[change]
        assert offered.parent is not None, "a change has a parent"
        start = self.commits.made[offered.parent].files
        for _ in range(self.ATTEMPTS):
            tip = self.commits.tip
            if offered.files == start:
                return LandResult(LandingState.EMPTY, tip)
            ours = self.commits.made[tip].files
            merged, paths, conflicts = merge_trees(start, ours, offered.files)
            if conflicts:
                commit = self.commits.add(tip, merged, f"conflict: {message}")
                return LandResult(
                    LandingState.CONFLICTED, tip, paths=paths, conflicts=conflicts, merged=commit, reason="conflict"
                )
            if not paths:
                return LandResult(LandingState.EMPTY, tip)
            self._disk.write_as(ErrorKind.GIT, "objects")
            landed = self.commits.add(tip, merged, message)
            await self._moment()
            self._disk.write_as(ErrorKind.GIT, "objects")
            self.before_swap()
            if self.commits.tip == tip:
                self.commits.tip = landed
                await self._moment()
                large = {path: len(merged[path]) for path in paths if len(merged.get(path, b"")) >= LARGE}
                result = LandResult(LandingState.MERGED, tip, commit=landed, paths=paths, large=large)
                added, removed = changed_lines(ours, merged)
                overlapping = tuple(sorted(set(paths).intersection(changed_paths(start, ours))))
                return replace(result, added=added, removed=removed, overlapping=overlapping)
            self.retries += 1
        return LandResult(LandingState.REFUSED, self.commits.tip, reason="trunk moved too often")

    async def merge(self, change: CommitId) -> LandResult:
        await self._moment()
        offered, tip = self.commits.made[change], self.commits.tip
        assert offered.parent is not None, "a change has a parent"
        ours = self.commits.made[tip].files
        merged, paths, conflicts = merge_trees(self.commits.made[offered.parent].files, ours, offered.files)
        if not paths and not conflicts:
            return LandResult(LandingState.EMPTY, tip)
        commit = self.commits.add(tip, merged, "merged")
        state, reason = (LandingState.CONFLICTED, "conflict") if conflicts else (LandingState.MERGED, "")
        return LandResult(state, tip, paths=paths, conflicts=conflicts, merged=commit, reason=reason)

    async def is_apart(self, change: CommitId, other: CommitId) -> bool:
        await self._moment()
        offered = self.commits.made[change]
        assert offered.parent is not None, "a change has a parent"
        start = self.commits.made[offered.parent].files
        return not merge_trees(start, self.commits.made[other].files, offered.files)[2]

    async def find_landed(self, *tasks: TaskId) -> dict[TaskId, CommitId]:
        await self._moment()
        found: dict[TaskId, CommitId] = {}
        for commit in self.commits.history(self.commits.tip):
            if commit == self.commits.base:
                break
            lines = self.commits.made[commit].message.splitlines()
            found = {task: commit for task in tasks if f"Swarm-Task: {task}" in lines} | found
        return found

    async def paths_of(self, commit: CommitId) -> tuple[str, ...]:
        await self._moment()
        parent = self.commits.made[commit].parent
        assert parent is not None, "a change has a parent"
        return changed_paths(self.commits.made[parent].files, self.commits.made[commit].files)

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        await self._moment()
        history = self.commits.history(self.commits.tip)
        return history[: history.index(commit)][::-1]

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        await self._moment()
        return self.commits.made[commit].files.get(path)

    async def diff(self, old: CommitId, new: CommitId, paths: Collection[str] = ()) -> str:
        await self._moment()
        trees = (self.commits.files_of(commit) for commit in (old, new))
        named = ({path: text for path, text in tree.items() if not paths or path in paths} for tree in trees)
        return unified_patch(*named)

    async def move_green(self, commit: CommitId) -> None:
        await self._moment()
        assert commit in self.commits.history(self.commits.tip), "green must be on trunk"
        self._disk.write_as(ErrorKind.GIT, "objects")
        self.commits.green = commit

    async def take_back_green(self) -> None:
        await self._moment()
        self._disk.write_as(ErrorKind.GIT, "objects")
        self.commits.green = None

    async def publish(self) -> str:
        await self._moment()
        self._disk.write_as(ErrorKind.GIT, "objects")
        self.commits.published = (self.commits.tip, self.commits.green)
        return self.left_alone

    async def _moment(self) -> None:
        await self._power.needed()
        await self._clock.sleep(self._delay())
        await self._power.needed()

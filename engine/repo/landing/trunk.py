"""The trunk of one run, in a bare repository of its own: lands changes by merge and compare-and-swap.

A landing becomes durable in this order: its start in the journal (engine/agents/landing.py), the pack and the ref here,
then its result and handoff in the journal, in one batch (engine/agents/outcomes.py).
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from engine.domain.collisions import LARGE
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_bytes, path_text
from engine.domain.types import CommitId, LandingState, RunId, TaskId
from engine.ports.protocols import LandResult
from engine.repo.changes.change import message_bytes
from engine.repo.changes.pending import PendingChanges
from engine.repo.git.commit_patch import patch_between
from engine.repo.git.git import GitTimeoutError, disk_error
from engine.repo.git.line_counts import count_lines
from engine.repo.git.objects import UNLANDED, NewObjects, ObjectStore
from engine.repo.git.pack_rollup import PackRollup
from engine.repo.git.pack_writer import Pack
from engine.repo.git.refs import Refs
from engine.repo.git.sizes import file_sizes
from engine.repo.landing.group_merge import CONFLICT_MESSAGE, MERGE_MESSAGE, GroupMerge, LandingRequest
from engine.repo.landing.history import TrunkHistory
from engine.repo.landing.line_merge import lie_apart
from engine.repo.landing.merge import GitMerger
from engine.repo.landing.trunk_objects import (
    TRUNK,
    make_readable,
    remove_pack,
    unlanded_git,
)
from engine.repo.landing.trunk_repository import create_repository, open_repository
from engine.repo.landing.union_merge import UnionPaths
from engine.repo.landing.user_branches import publish
from engine.repo.source import SourceRepo

_GREEN = "refs/heads/green"
_TRIES = 20
_GROUP_SIZE = 256
_ROUNDS = 4
"""How often a group has git merge file contents: landings that change the same file may need a round each."""
_PATHS_KEPT = 4 * _GROUP_SIZE
"""The paths of this many newest landings are in memory."""
_TOO_LONG = "merging took too long: trunk also changed a large file with many repeated lines"
_T = TypeVar("_T")


class GitTrunk:
    """Implements protocols.Trunk. The caller must hold the run's lock, because opening removes all git lock files.

    Landings of this process are queued, and those in the queue land as a group. Another process may move the ref at
    any time; the group is then merged again. `pending` takes finished changes from the workspaces of this process.
    """

    def __init__(
        self,
        git_dir: Path,
        source_root: Path,
        run: RunId,
        base: CommitId,
        object_format: str,
        refs: Refs | None = None,
        merger: GitMerger | None = None,
        union: UnionPaths | None = None,
    ) -> None:
        self.git_dir = git_dir
        self.base = base
        self._source_root = source_root
        self._run = run
        self._git = unlanded_git(git_dir)
        self._refs = refs or Refs(git_dir)
        self._merger = merger or GitMerger(git_dir, object_format, union)
        self._store = ObjectStore(git_dir, object_format)
        self._packs = PackRollup(git_dir / "objects" / "pack", self._store.new_hash)
        self._unlanded_packs = PackRollup(git_dir / UNLANDED / "pack", self._store.new_hash)
        self._history = TrunkHistory(self._git, base)
        self._queue: list[LandingRequest] = []
        self._landing: asyncio.Task[None] | None = None
        self._paths: dict[CommitId, tuple[str, ...]] = {}
        self.pending = PendingChanges(git_dir, self._store)
        self._publishing = asyncio.Lock()

    @classmethod
    async def create(
        cls, folder: Path, source: SourceRepo, run: RunId, *, union: UnionPaths | None = None
    ) -> "GitTrunk":
        """Create `FOLDER/trunk.git`, complete or not at all, with trunk at the base. Raises SwarmError (git)."""
        await create_repository(folder, source, run)
        return await cls.open(folder, union=union)

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        refs: Refs | None = None,
        merger: GitMerger | None = None,
        union: UnionPaths | None = None,
    ) -> "GitTrunk":
        """Open an existing trunk. `union`: the files that may be merged by union.

        Raises SwarmError (state) when it is missing or damaged."""
        found = await open_repository(folder)
        trunk = cls(
            *(found.git_dir, found.source_root, found.run, found.base, found.object_format),
            *(refs, merger, union),
        )
        trunk._merger.prepare()
        return trunk

    async def tip(self) -> CommitId:
        found = await self._refs.read(TRUNK)
        if found is None:
            raise SwarmError(
                ErrorKind.GIT, f"{TRUNK} is missing in {path_text(self.git_dir)}", "restore it, then resume"
            )
        return found

    async def green(self) -> CommitId | None:
        """The newest commit that passed the check; None before the first."""
        return await self._refs.read(_GREEN)

    async def land(self, change: CommitId, message: str) -> LandResult:
        """See protocols.Trunk. Raises SwarmError (git) when git or the disk fails; the change has not landed then.

        Requests that are queued at the same time land as a group: in one pack, with one swap of the ref. A request that
        is cancelled in the queue does not land; one that is cancelled later does, and then raises CancelledError.
        """
        return await self._offer(change, message)

    async def merge(self, change: CommitId) -> LandResult:
        """See protocols.Trunk. Raises SwarmError (git). It waits in the queue of landings, because git merges one at
        a time."""
        return await self._offer(change, MERGE_MESSAGE, lands=False)

    async def _offer(self, change: CommitId, message: str, *, lands: bool = True) -> LandResult:
        result = asyncio.get_running_loop().create_future()
        request = LandingRequest(change, self.pending.get(change), message, result, lands)
        self._queue.append(request)
        if self._landing is None or self._landing.done():
            self._landing = asyncio.create_task(self._land_queue(), name="landing")
        try:
            return await self._with_lines(await asyncio.shield(request.result))
        except asyncio.CancelledError:
            if request in self._queue:
                self._queue.remove(request)
            elif not request.result.done():
                await asyncio.wait([request.result])
                request.result.cancelled() or request.result.exception()  # marks the exception as retrieved
            raise

    async def _with_lines(self, result: LandResult) -> LandResult:
        """The result with the lines that the landed commit adds and removes, counted while others land."""
        if result.commit is None or result.added is not None:
            return result
        counted = await count_lines(self._git, self._store, self.pending.tree_of, result.base, result.commit)
        return result if counted is None else replace(result, added=counted[0], removed=counted[1])

    async def _land_queue(self) -> None:
        while self._queue:
            requests, self._queue = self._queue[:_GROUP_SIZE], self._queue[_GROUP_SIZE:]
            for request in await self._land_with_retries(requests, self._land_group):
                await self._land_with_retries([request], self._land_by_git)
            if await asyncio.to_thread(self._roll_up):
                self._store.reopen()

    def _roll_up(self) -> bool:
        joined = [packs.roll_up() for packs in (self._packs, self._unlanded_packs)]
        return any(joined)

    async def _land_with_retries(
        self,
        requests: list[LandingRequest],
        land: Callable[[CommitId, list[LandingRequest]], Awaitable[list[LandingRequest] | None]],
    ) -> list[LandingRequest]:
        """Call `land`, again whenever another process has moved trunk. Returns the requests that git must merge.

        All others have a result afterwards, or are back in the queue.
        """
        for_git: list[LandingRequest] = []
        try:
            for _ in range(_TRIES):
                tip = await self._update_history()
                remaining = await land(tip, requests)
                if remaining is not None:
                    for_git = remaining
                    return for_git
            refused = LandResult(LandingState.REFUSED, tip, reason=f"trunk moved {_TRIES} times during the merge")
            for request in requests:
                request.result.set_result(refused)
        except Exception as error:
            for request in requests:
                if not request.result.done():
                    request.result.set_exception(_copy_of(error))
        finally:
            for request in requests:
                if not request.result.done() and request not in for_git and request not in self._queue:
                    request.result.cancel()  # the program is exiting
        return for_git

    async def _land_group(self, tip: CommitId, requests: list[LandingRequest]) -> list[LandingRequest] | None:
        """Try once to land all changes that can be merged path by path; None when trunk has moved.

        Returns the requests that git must merge. Those still waiting after _ROUNDS rounds go back to the queue.
        """
        group = await asyncio.to_thread(self._start_group, tip)
        if group is None:
            return requests
        waiting, for_git = await asyncio.to_thread(group.merge, requests)
        for _ in range(_ROUNDS):
            if not waiting:
                break
            try:
                merged = await self._merger.merge_files(tip, group.file_merges, group.new)
            except GitTimeoutError:  # git merges them one by one, so that only the slow one fails
                waiting, for_git = [], [*for_git, *waiting]
                break
            group.add_merged_files(merged)
            waiting, more = await asyncio.to_thread(group.merge, waiting)
            for_git += more
        if group.conflicted.unwritten:
            await asyncio.to_thread(self._unlanded_packs.add, group.conflicted)
        if group.tip != tip and not await self._move_trunk(tip, group):
            return None
        for request, result in group.results:
            if result.commit is not None:
                self._tip_moved(result, request.message)
        self._queue[:0] = waiting
        for request, result in group.results:
            request.result.set_result(result)
        return for_git

    async def _land_by_git(self, tip: CommitId, requests: list[LandingRequest]) -> list[LandingRequest] | None:
        """Try once to land a single change with git's own merge; None when trunk has moved."""
        [request] = requests
        if request.change is not None:
            await asyncio.to_thread(self.pending.write, request.change)
        result = await self._merge_by_git(tip, request)
        if result is None:
            return None
        if result.commit is not None:
            self._tip_moved(result, request.message)
        request.result.set_result(result)
        return []

    async def _merge_by_git(self, tip: CommitId, request: LandingRequest) -> LandResult | None:
        try:
            merge = await self._merger.merge(tip, request.commit)
        except GitTimeoutError:
            return LandResult(LandingState.REFUSED, tip, reason=_TOO_LONG)
        if merge.refused:
            return LandResult(LandingState.REFUSED, tip, reason=merge.refused)
        if merge.conflicts:
            merged = await self._commit(merge.tree, tip, CONFLICT_MESSAGE)
            return LandResult(
                LandingState.CONFLICTED, tip, conflicts=merge.conflicts, merged=merged, reason=merge.reason
            )
        paths = await self._changed_paths(tip, merge.tree)
        if not paths:
            return LandResult(LandingState.EMPTY, tip)
        commit = await self._commit(merge.tree, tip, request.message)
        if not request.lands:
            return LandResult(LandingState.MERGED, tip, paths=paths, merged=commit)
        pack = await make_readable(self.git_dir, commit, tip)
        sizes = await asyncio.to_thread(file_sizes, self.git_dir, commit, paths)
        large = {path: size for path, size in sizes.items() if size >= LARGE}
        if not await _finish(self._refs.compare_and_swap(TRUNK, commit, tip)):
            await asyncio.to_thread(self._take_back, None, pack)
            return None
        overlapping = await asyncio.to_thread(self._overlapping, request.commit, tip, paths)
        return LandResult(LandingState.MERGED, tip, commit=commit, paths=paths, large=large, overlapping=overlapping)

    def _overlapping(self, commit: CommitId, tip: CommitId, paths: tuple[str, ...]) -> tuple[str, ...]:
        """The paths that trunk has also changed since the base of a change; all paths if that is unknown."""
        change, new = self.pending.from_disk(commit), NewObjects(self._store)
        try:
            before, now = (change and change.base_tree) or new.empty_tree, self.pending.tree_of(tip)
            return tuple(
                path for path in paths if new.entry(before, path_bytes(path)) != new.entry(now, path_bytes(path))
            )
        except (KeyError, ValueError):
            return paths

    async def _move_trunk(self, tip: CommitId, group: GroupMerge) -> bool:
        """Write a group's objects and move trunk from `tip`; False, with the objects removed, when trunk has moved."""
        pack = await asyncio.to_thread(self._packs.add, group.new) if group.new.unwritten else None
        # Large changes are on disk already, where agents cannot read them.
        large = await make_readable(self.git_dir, group.tip, tip) if group.has_changes_on_disk else None
        if await _finish(self._refs.compare_and_swap(TRUNK, group.tip, tip)):
            return True
        await asyncio.to_thread(self._take_back, pack, large)
        return False

    def _take_back(self, pack: Pack | None, large: Path | None) -> None:
        """Remove what did not land from where agents can read it."""
        if pack is not None:
            self._packs.remove(pack)
        if large is not None:
            remove_pack(large)
        self._store.reopen()

    def _start_group(self, tip: CommitId) -> GroupMerge | None:
        """None when only git can read the repository, because it has SHA-256 ids."""
        try:
            root = self.pending.tree_of(tip)
        except KeyError:
            return None
        return GroupMerge(self._store, tip, root, self._history.__contains__, self.pending.from_disk, int(time.time()))

    def _tip_moved(self, result: LandResult, message: str) -> None:
        """Update the parts that keep track of the tip after a landing."""
        assert result.commit is not None
        self._history.append(result.commit, message)
        self._merger.tip_moved(result.base, result.commit, result.paths)
        self._paths[result.commit] = result.paths
        if len(self._paths) > _PATHS_KEPT:
            del self._paths[next(iter(self._paths))]

    async def _update_history(self) -> CommitId:
        """Read the history up to the tip; returns the tip."""
        tip = await self.tip()
        await self._history.update_to(tip)
        return tip

    async def is_apart(self, change: CommitId, other: CommitId) -> bool:
        result = asyncio.get_running_loop().create_future()
        request = LandingRequest(change, self.pending.get(change), "", result)
        return await asyncio.to_thread(self._is_apart, request, other)

    def _is_apart(self, request: LandingRequest, other: CommitId) -> bool:
        pending = self.pending.get(other)
        try:
            root = self.pending.tree_of(other) if pending is None else pending.tree
            group = GroupMerge(self._store, other, root, lambda commit: True, self.pending.from_disk, 0)
            if pending is not None and pending.objects is not None:
                group.new.borrowed.update(pending.objects.unwritten)
            _, for_git = group.merge([request])
            return not for_git and all(
                lie_apart(*(group.new.read(oid) for oid in (file.base, file.ours, file.theirs)))
                for file in group.file_merges.values()
            )
        except (KeyError, ValueError):
            return False  # only git can read it

    async def find_landed(self, *tasks: TaskId) -> dict[TaskId, CommitId]:
        await self._update_history()
        return {task: commit for task in tasks if (commit := self._history.commit_of(task)) is not None}

    async def paths_of(self, commit: CommitId) -> tuple[str, ...]:
        try:
            return self._paths.get(commit) or self._paths_of(commit)  # in memory, as a rule
        except (KeyError, ValueError):  # pygit2 cannot read it, but git can
            return await self._changed_paths(f"{commit}^", commit)

    def _paths_of(self, commit: CommitId) -> tuple[str, ...]:
        change = self.pending.get(commit) or self.pending.from_disk(commit)
        if change is None:
            raise KeyError(commit)
        new = NewObjects(self._store)
        if change.objects is not None:
            new.borrowed = change.objects.unwritten
        return tuple(sorted(path_text(path) for path in change.differences(new)))

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        await self._update_history()
        known = self._history.since(commit)
        if known is not None:
            return known
        listing = await self._git.text("rev-list", "--first-parent", "--reverse", TRUNK, f"^{commit}", "--")
        return [CommitId(line) for line in listing.split("\n") if line]

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        file = path_bytes(path)
        try:
            return await asyncio.to_thread(self._read_object, commit, file)
        except (KeyError, ValueError):
            pass  # pygit2 cannot read it, but git can
        named = ("--full-tree", commit, "--", os.fsdecode(file))
        listing = await self._git.run("--literal-pathspecs", "ls-tree", "-z", *named)
        meta, _, name = listing.out.rstrip(b"\0").partition(b"\t")
        if not meta.startswith(b"100") or name != file:
            return None
        return (await self._git.run("cat-file", "blob", meta.split(b" ")[2].decode("ascii"))).out

    def _read_object(self, commit: CommitId, path: bytes) -> bytes | None:
        """A regular file's content. Raises KeyError or ValueError when only git can read it."""
        entry = NewObjects(self._store).entry(self.pending.tree_of(commit), path)
        return self._store.read(entry[1]) if entry is not None and entry[0].startswith(b"100") else None

    async def diff(self, old: CommitId, new: CommitId, paths: Collection[str] = ()) -> str:
        """See protocols.Trunk. The patch is cut after the last full line within 32 MiB."""
        return await patch_between(self._git, old, new, paths)

    async def move_green(self, commit: CommitId) -> None:
        """Move green forward to a commit of trunk; does nothing if green is there or beyond already.

        Raises SwarmError (git) when the commit is not on trunk, or when another process moves green at the same time.
        """
        if not await self._is_ancestor(commit, TRUNK):
            raise SwarmError(ErrorKind.GIT, f"{commit[:12]} is not on trunk", "green can only move along trunk")
        old = await self.green()
        if old is not None and await self._is_ancestor(commit, old):
            return
        if not await _finish(self._refs.compare_and_swap(_GREEN, commit, old)):
            raise SwarmError(
                ErrorKind.GIT,
                "another process moved green",
                f"don't move refs/heads/green in {path_text(self.git_dir)}",
            )

    async def take_back_green(self) -> None:
        """See protocols.Trunk. Raises SwarmError (git)."""
        await _finish(self._refs.delete(_GREEN))

    async def publish(self) -> str:
        """See protocols.Trunk. Publishing before the first landing protects the base from gc in the user's repo."""
        async with self._publishing:
            return await _finish(publish(self.git_dir, self._source_root, self._run, ("trunk", "green")))

    async def _changed_paths(self, tip: str, tree: str) -> tuple[str, ...]:
        listing = await self._git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", tip, tree, "--")
        return tuple(sorted(path_text(name) for name in listing.out.split(b"\0") if name))

    async def _commit(self, tree: str, parent: CommitId, message: str) -> CommitId:
        return CommitId(
            await self._git.text("commit-tree", tree, "-p", parent, "-F", "-", stdin=message_bytes(message))
        )

    async def _is_ancestor(self, commit: CommitId, of: str) -> bool:
        result = await self._git.run("merge-base", "--is-ancestor", commit, of, accept=(0, 1))
        return result.exit == 0


def _copy_of(error: Exception) -> Exception:
    """An exception of its own for each request: a shared one would collect the tracebacks of all."""
    if isinstance(error, SwarmError):
        return SwarmError(error.kind, error.message, error.hint)
    return disk_error("cannot write the landing", error) if isinstance(error, OSError) else error


async def _finish(work: Coroutine[object, object, _T]) -> _T:
    """Run to the end even when cancelled: an interrupted swap of a ref would leave a lock file behind."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.cancelled() or task.exception()  # which nobody is left to hear of, and asyncio would print
        raise

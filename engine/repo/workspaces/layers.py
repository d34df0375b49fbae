"""Read-only layers that show trunk commits and are shared by all workspaces: a base checkout and a few deltas on top.

The deltas form a log-structured merge: a new delta absorbs those on top that are not much larger, so that opening a
workspace at a newer commit writes about as much as has changed, however old the base is. When much has changed, a newer
base is made of hard links in the background. Builds that checks have kept lie below the base.
"""

import asyncio
import itertools
import logging
import os
import stat
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import output_text
from engine.domain.types import CommitId
from engine.repo.git.conversion import Conversion
from engine.repo.git.git import fsck_hint, hint_for
from engine.repo.git.history_start import read_shallow
from engine.repo.git.index import Index, IndexEntries, RawEntries, decode_index, encode_index
from engine.repo.workspaces.checkout import (
    CheckoutSource,
    check_out,
    head_files,
    merge_layers,
    write_delta,
    write_index,
)
from engine.repo.workspaces.excludes import Excludes
from engine.repo.workspaces.mtimes import FileTimes, at_commit, rebased
from engine.repo.workspaces.trash import Trash
from engine.repo.workspaces.verified_downloads import LOCK_FILES, Named, keep_downloads
from engine.repo.workspaces.warm_builds import (
    MAX_LAYERS,
    Made,
    WarmBuilds,
    disk_size,
    keep_builds,
    stale_paths,
    without_paths,
    write_whiteouts,
)
from engine.repo.workspaces.worker_history import FOLDER, WorkerHistory

MAX_CHANGED = 400
"""Files changed since the base after which a newer base is made."""
MAX_BYTES = 16 << 20
"""The size of those files after which a newer base is made."""
GROWTH = 4
"""A delta stays as it is if it has more than this many times the entries of the one written on top of it."""
MAX_DEPTH = 8
MAX_MOUNT_OPTIONS = 2_800
"""The kernel allows one page of mount options, which contain the path of each layer."""

log = logging.getLogger("swarm")


class LayerStack(Struct, frozen=True):
    """The layers under a workspace at `commit`, from the lowest up; the folders of `builds`, if any, come first.

    `shared`: other workspaces may stand on them, too.
    """

    commit: CommitId
    folders: tuple[Path, ...]
    builds: WarmBuilds | None = None
    shared: bool = True

    @property
    def caches(self) -> tuple[Path, ...]:
        """The layers below the home of commands."""
        return self.builds.caches if self.builds is not None else ()


class _Base(Struct, frozen=True):
    """A full checkout: its folder and its index."""

    stack: LayerStack
    index: Index


class _Delta(Struct, frozen=True):
    """One delta and what is below it. `changed` and `size` are relative to the base; `own` counts its own entries."""

    stack: LayerStack
    times: FileTimes
    changed: RawEntries
    size: int
    own: int


class LayerStore:
    """Makes and removes layers in `folder`, counting their users. Use from one event loop.

    `objects` is where agents find the objects of `trunk_git`.
    """

    def __init__(
        self,
        folder: Path,
        trunk_git: Path,
        objects: Path,
        base: CommitId,
        excludes: Excludes,
        conversion: Conversion,
        trash: Trash,
    ) -> None:
        self._folder = folder / "layers"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._source = CheckoutSource(trunk_git, excludes.text, conversion, read_shallow(trunk_git))
        self._objects = objects
        self._history = WorkerHistory(trunk_git, base)
        self.excludes = excludes
        self.conversion = conversion
        self._trash = trash
        self._one_at_a_time = asyncio.Lock()
        self._uses: dict[Path, int] = {}
        self._numbers = itertools.count(1)
        self._base: _Base | None = None
        self._deltas: list[_Delta] = []
        self._times: FileTimes | None = None
        """At the commit that was requested last."""
        self._builds: WarmBuilds | None = None
        self._set_up: LayerStack | None = None
        """The checkout in which the setup command has succeeded last, on top of what that made."""
        self._stacks: dict[CommitId, LayerStack] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._closed = False

    async def use(self, commit: CommitId, *, clean: bool = False) -> LayerStack:
        """The layers of a trunk commit, to be given back with `release`. `clean`: made only of git objects, downloads
        that the commit's lock files name by hash, and what the setup command made on the same commit.

        Raises SwarmError (git).
        """
        if clean and self._set_up is not None and self._set_up.commit == commit:
            self._count_use(self._set_up)
            return self._set_up
        if clean:
            held = self.adopt(commit, self._builds.caches if self._builds is not None else ())
            try:
                make = partial(self._make_clean, held.folders)
                stack = await asyncio.to_thread(self._guarded, make, commit)
            finally:
                self.release(held)
            self._count_use(stack)
            return stack
        async with self._one_at_a_time:
            known = self._stacks.get(commit)
            if known is None:
                known = self._stacks[commit] = await asyncio.to_thread(self._guarded, self._make, commit)
            self._count_use(known)
        self._renew_base_if_needed()
        return known

    def adopt(self, commit: CommitId, folders: tuple[Path, ...]) -> LayerStack:
        """The layers of a workspace that an earlier process left, to be given back with `release`."""
        stack = LayerStack(commit, folders)
        self._count_use(stack)
        return stack

    def _count_use(self, stack: LayerStack) -> None:
        for folder in (*stack.caches, *stack.folders):
            self._uses[folder] = self._uses.get(folder, 0) + 1

    def release(self, stack: LayerStack) -> None:
        """Discard the layers that have no users and that no new workspace would use."""
        for folder in (*stack.caches, *stack.folders):
            self._uses[folder] -= 1
        self._discard_unused()

    def _discard_unused(self) -> None:
        needed = {folder for delta in self._deltas for folder in delta.stack.folders}
        if self._set_up is not None:
            needed.update(self._set_up.folders, self._set_up.caches)
        if self._builds is not None:
            needed.update(self._builds.layers)
        if self._base is not None:
            needed.update(self._base.stack.folders)
        unused = {folder for folder, uses in self._uses.items() if not uses and folder not in needed}
        if not unused:
            return
        self._stacks = {
            commit: stack
            for commit, stack in self._stacks.items()
            if unused.isdisjoint((*stack.caches, *stack.folders))
        }
        for folder in unused:
            del self._uses[folder]
            self._trash.discard(folder)

    def sweep(self) -> None:
        """Discard the layers of an earlier process but those that were adopted. Call it before the first use."""
        for folder in list(self._folder.iterdir()):
            if folder not in self._uses:
                self._trash.discard(folder)
        names = [int(folder.name) for folder in self._uses if folder.name.isdecimal()]
        self._numbers = itertools.count(max(names, default=0) + 1)

    async def close(self) -> None:
        self._closed = True
        if self._renewing is not None:
            await asyncio.wait([self._renewing])
        self._set_up = None
        self._set_builds(None)

    # --- making layers -----------------------------------------------------------------------------------------

    def _new_folder(self) -> Path:
        return self._folder / str(next(self._numbers))

    def _make(self, commit: CommitId, folder: Path) -> LayerStack:
        """Layers on top of those that there are."""
        repo = pygit2.Repository(str(self._source.trunk))
        base = self._base
        if base is None or self._times is None:
            stack, index = LayerStack(commit, (folder,)), check_out(self._source, folder, commit)
            self._base, self._times = _Base(stack, index), FileTimes(commit, index, {})
            return self._with_builds(repo, stack)
        times = at_commit(repo, self._times, commit, time.time_ns(), self._builds)
        stack = self._add_delta(repo, base, times, folder)
        self._times = times
        return self._with_builds(repo, stack)

    def _make_clean(self, caches: tuple[Path, ...], commit: CommitId, folder: Path) -> LayerStack:
        """One layer made of git objects alone, without traces of what happened before, such as times of files.

        Only verified downloads are kept of the `caches`.
        """
        index = check_out(self._source, folder, commit)
        builds, downloads = None, self._new_folder()
        if caches:
            repo = pygit2.Repository(str(self._source.trunk))
            named = Named(
                repo[pygit2.Oid(raw=oid)].peel(pygit2.Blob).data
                for path, mode, oid in index.entries()
                if os.path.basename(path) in LOCK_FILES and stat.S_ISREG(mode)
            )
            try:
                if keep_downloads(caches, named, downloads):
                    builds = WarmBuilds(commit, (), frozenset(), 0, (downloads,))
            except OSError as error:
                log.warning("cannot keep verified downloads: %s", error)
                self._trash.discard(downloads)
        return LayerStack(commit, (folder,), builds, shared=False)

    def head_files(self, commit: CommitId, *, trunk_history: bool) -> dict[str, bytes]:
        """What a copy at `commit` has in `.git` of its own. Slow: call in a thread. Raises SwarmError (git)."""
        folders = [self._objects] if trunk_history else [self._objects, self._objects / FOLDER]
        return head_files(self.shown(commit, trunk_history=trunk_history), folders)

    def checked_out(self, text: bytes, path: str, commit: CommitId) -> tuple[bytes, bytes]:
        """A new text file as a checkout of a trunk commit would write it, and the line end that the commit's attributes
        or the settings ask for; empty if they ask for none. Slow: call in a thread."""
        repo = pygit2.Repository(str(self._source.trunk))
        if line_end := self.conversion.line_end(repo, path, commit):
            text = text.replace(b"\r\n", b"\n")
        return self.conversion.to_work_tree(repo, text, path, commit), line_end

    def shown(self, commit: CommitId, *, trunk_history: bool) -> CommitId:
        """What git in a copy shows in place of a commit of trunk. Slow: call in a thread. Raises SwarmError (git)."""
        try:
            return commit if trunk_history else self._history.head(commit)
        except (pygit2.GitError, OSError, KeyError, ValueError) as error:
            raise self._cannot_check_out(commit, error) from error

    def _guarded(self, make: Callable[[CommitId, Path], LayerStack], commit: CommitId) -> LayerStack:
        """Make a layer in a new folder, which is discarded if that fails."""
        folder = self._new_folder()
        try:
            return make(commit, folder)
        except (subprocess.CalledProcessError, pygit2.GitError, OSError, KeyError, ValueError) as error:
            self._trash.discard(folder)
            raise self._cannot_check_out(commit, error) from error

    def _cannot_check_out(self, commit: CommitId, error: Exception) -> SwarmError:
        reason = _one_line(error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error))
        hint = hint_for(reason, "check the run's trunk.git and the free disk space")
        if isinstance(error, KeyError) or hint == fsck_hint():
            hint = fsck_hint(self._source.trunk)
        return SwarmError(ErrorKind.GIT, f"cannot check out trunk commit {commit[:12]}: {reason}", hint)

    def _add_delta(self, repo: pygit2.Repository, base: _Base, times: FileTimes, folder: Path) -> LayerStack:
        """Write a delta with what has changed, absorbing the top deltas if they are small or too many."""
        deltas = list(self._deltas)
        while True:
            below = deltas[-1].stack if deltas else base.stack
            changes = _changes(times, deltas[-1].times if deltas else FileTimes(base.stack.commit, base.index, {}))
            if not changes:
                return LayerStack(times.commit, below.folders)
            if not deltas or (not self._too_deep(below, folder) and len(changes) < deltas[-1].own // GROWTH):
                break
            deltas.pop()
        written = write_delta(repo, folder, times.commit, changes, self.conversion)
        changed = {**(deltas[-1].changed if deltas else {}), **written.entries}
        write_index(folder, base.index, changed)
        size = written.size + (deltas[-1].size if deltas else 0)
        stack = LayerStack(times.commit, (*below.folders, folder))
        self._deltas = [*deltas, _Delta(stack, times, changed, size, len(written.entries))]
        return stack

    def _too_deep(self, below: LayerStack, folder: Path) -> bool:
        depth = len(below.folders) + 1
        return depth > MAX_DEPTH or _exceeds_mount_options(depth + MAX_LAYERS + 1, folder)

    # --- builds ------------------------------------------------------------------------------------------------

    def _with_builds(self, repo: pygit2.Repository, stack: LayerStack) -> LayerStack:
        """Put the kept builds below a stack, without those that do not fit its commit."""
        builds = self._builds
        if builds is None or _exceeds_mount_options(len(stack.folders) + len(builds.layers) + 1, builds.layers[0]):
            return stack
        if stale := stale_paths(repo, builds, stack.commit, self.excludes.rules):
            mask = self._new_folder()
            write_whiteouts(mask, stale)
            builds = without_paths(builds, stale, mask)
        return LayerStack(stack.commit, (*builds.folders, *stack.folders), builds)

    @property
    def has_builds(self) -> bool:
        """Whether new layers have builds."""
        return self._builds is not None

    async def discard_builds(self) -> None:
        """Make later layers without the builds that were kept so far, but with what the setup command made."""
        async with self._one_at_a_time:
            self._set_builds(self._set_up.builds if self._set_up is not None else None)

    @property
    def set_up_at(self) -> CommitId | None:
        """The commit on which the setup command has succeeded last."""
        return self._set_up.commit if self._set_up is not None else None

    async def keep_setup(self, stack: LayerStack, made: Made) -> None:
        """Have later workspaces start from what the setup command made on the clean `stack`. Raises OSError."""
        builds = await self._keep(stack, made)
        below = builds.folders if builds is not None else ()
        async with self._one_at_a_time:
            self._set_up = LayerStack(stack.commit, (*below, *stack.folders), builds, shared=False)
            self._set_builds(builds)

    async def keep_builds(self, stack: LayerStack, made: Made, limit: int) -> None:
        """Have later workspaces start from what a check made on `stack`.

        If builds and caches together exceed `limit` bytes or cannot be kept, later workspaces start without them.
        """
        builds = None
        try:
            builds = await self._keep(stack, made)
            size = await asyncio.to_thread(disk_size, builds)
        except (OSError, RecursionError) as error:  # the disk is full, or the build left a hostile tree
            log.warning("cannot keep the check's builds: %s", error)
            size = 0
        async with self._one_at_a_time:
            self._set_builds(builds)
            if size > limit:
                log.warning(
                    "builds and caches take %d MiB, more than [build] warm_size: the next check builds from scratch",
                    size >> 20,
                )
                self._set_builds(None)

    async def _keep(self, stack: LayerStack, made: Made) -> WarmBuilds | None:
        """Turn what was made on a stack into layers. Raises OSError, RecursionError."""
        new = [self._new_folder() for _ in range(4)]
        kept: tuple[Path, ...] = ()
        try:
            builds = await asyncio.to_thread(keep_builds, stack.builds, stack.commit, made, new)
            kept = builds.layers if builds is not None else ()
            return builds
        finally:
            for folder in new:
                if folder not in kept:
                    self._trash.discard(folder)

    def _set_builds(self, builds: WarmBuilds | None) -> None:
        self._builds = builds
        self._stacks.clear()
        for folder in builds.layers if builds is not None else ():
            self._uses.setdefault(folder, 0)
        self._discard_unused()

    # --- a newer base ------------------------------------------------------------------------------------------

    def _renew_base_if_needed(self) -> None:
        top = self._deltas[-1] if self._deltas else None
        if top is None or self._closed or (self._renewing is not None and not self._renewing.done()):
            return
        if len(top.changed) > MAX_CHANGED or top.size > MAX_BYTES:
            self._renewing = asyncio.create_task(self._renew_base(top))

    async def _renew_base(self, top: _Delta) -> None:
        """Merge the base and its deltas into a new base for later deltas. On failure, everything stays as it is."""
        base = self._base
        assert base is not None
        folder = self._new_folder()
        index = decode_index(encode_index(base.index, top.changed))
        self._count_use(top.stack)
        try:
            await asyncio.to_thread(merge_layers, self._source, top.stack.folders, folder, index)
        except OSError:  # the disk is full: opening a workspace reports it
            self._trash.discard(folder)
        else:
            async with self._one_at_a_time:
                assert self._times is not None
                self._base, self._deltas = _Base(LayerStack(top.stack.commit, (folder,)), index), []
                self._times = rebased(self._times, index)
                self._uses.setdefault(folder, 0)
                self._stacks.pop(top.stack.commit, None)
        finally:
            self.release(top.stack)


def _changes(times: FileTimes, below: FileTimes) -> IndexEntries:
    """The files that differ from what is `below`, an earlier state on the same base."""
    return {path: entry for path, entry in times.changed.items() if entry != below.find(path)}


def _exceeds_mount_options(depth: int, folder: Path) -> bool:
    """Whether this many layers with paths like `folder` are too much for the kernel."""
    return depth * (len(os.fsencode(folder)) + 16) > MAX_MOUNT_OPTIONS


def _one_line(message: bytes | str | None) -> str:
    text = output_text(message) if isinstance(message, bytes) else message or ""
    return " ".join(text.split())[:300]

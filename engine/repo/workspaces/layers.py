"""Read-only layers of trunk commits, shared by all copies: a base, a short stack of what changed since, and below both
what checks have built.

The stack is kept as a log-structured merge does: a new layer takes those above it that are not much larger, so that
opening a copy at a trunk that has moved writes about what moved, however old the base is. When much has changed a
newer base is made of links, beside the agents.
"""

import asyncio
import itertools
import logging
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId
from engine.repo.git.index import Index, IndexEntries, RawEntries, decode_index, encode_index
from engine.repo.workspaces.checkout import Head, Origin, check_out, finish_delta, lay_delta, merge_layers, received
from engine.repo.workspaces.excludes import Excludes
from engine.repo.workspaces.mtimes import Times, moved, rebased
from engine.repo.workspaces.trash import Trash
from engine.repo.workspaces.warm_builds import DEEPEST as DEEPEST_BUILDS
from engine.repo.workspaces.warm_builds import Builds, disk_size, hide, kept, masked, misfits

MAX_CHANGED = 400
"""Entries changed since the base, and bytes, after which a newer one is made."""
MAX_BYTES = 16 << 20
GROWTH = 4
"""How many times larger than what is laid on it a layer must be to stay as it is."""
DEEPEST = 8
LONGEST = 2_800
"""The kernel takes a page of mount options; each layer's path stands there with a little around it."""

log = logging.getLogger("swarm")


class Layer(Struct, frozen=True):
    """What a copy at `commit` stands on: folders, the lowest first; those of `builds`, if any, come first."""

    commit: CommitId
    folders: tuple[Path, ...]
    builds: Builds | None = None


class _Base(Struct, frozen=True):
    """A whole checkout: its folders and its index."""

    layer: Layer
    index: Index


class _Step(Struct, frozen=True):
    """A layer of the stack. `changed` and `size` are since the base, `own` counts the entries of this layer."""

    layer: Layer
    head: Head
    times: Times
    changed: RawEntries
    size: int
    own: int


class Layers:
    """Makes and removes layers in `folder`, counting who uses them. All methods are for one event loop."""

    def __init__(self, folder: Path, trunk_git: Path, original: CommitId, excludes: Excludes, trash: Trash) -> None:
        self._folder = folder / "layers"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._origin = Origin(trunk_git, original, excludes.text)
        self.excludes = excludes
        self._trash = trash
        self._turn = asyncio.Lock()
        self._uses: dict[Path, int] = {}
        self._numbers = itertools.count(1)
        self._base: _Base | None = None
        self._stack: list[_Step] = []
        self._times: Times | None = None
        """At the commit that a layer was asked of last."""
        self._builds: Builds | None = None
        self._made: dict[CommitId, Layer] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._closed = False

    async def use(self, commit: CommitId, *, clean: bool = False) -> Layer:
        """The layer of a trunk commit, made if need be. To be given back with `release`. `clean`: without builds.

        Raises SwarmError (git).
        """
        async with self._turn:
            layer = self._made.get(commit)
            if layer is None:
                layer = self._made[commit] = await asyncio.to_thread(self._make, commit)
            if clean and layer.builds is not None:
                layer = Layer(commit, layer.folders[len(layer.builds.folders) :])
            self._hold(layer)
        self._renew_if_worn()
        return layer

    def _hold(self, layer: Layer) -> None:
        for folder in layer.folders:
            self._uses[folder] = self._uses.get(folder, 0) + 1

    def release(self, layer: Layer) -> None:
        """Layers that nobody uses any more and no new copy would start from go to the trash."""
        for folder in layer.folders:
            self._uses[folder] -= 1
        self._drop_unused()

    def _drop_unused(self) -> None:
        keep = {folder for step in self._stack for folder in step.layer.folders}
        if self._builds is not None:
            keep.update(self._builds.folders)
        if self._base is not None:
            keep.update(self._base.layer.folders)
        gone = {folder for folder, uses in self._uses.items() if not uses and folder not in keep}
        if not gone:
            return
        self._made = {commit: layer for commit, layer in self._made.items() if gone.isdisjoint(layer.folders)}
        for folder in gone:
            del self._uses[folder]
            self._trash.throw(folder)

    def sweep(self) -> None:
        """Throw away layers of an earlier epoch: nobody counts their uses. For before the first use."""
        for folder in list(self._folder.iterdir()):
            if folder not in self._uses:
                self._trash.throw(folder)

    async def close(self) -> None:
        self._closed = True
        if self._renewing is not None:
            await asyncio.wait([self._renewing])
        self._begin_from(None)

    # --- making ----------------------------------------------------------------------------------------------

    def _new_folder(self) -> Path:
        return self._folder / str(next(self._numbers))

    def _make(self, commit: CommitId) -> Layer:
        folder = self._new_folder()
        try:
            repo = pygit2.Repository(str(self._origin.trunk))
            head = received(self._origin, repo, commit)
            base = self._base
            if base is None or self._times is None:
                layer = Layer(commit, (folder,))
                index = check_out(self._origin, folder, commit, head)
                self._base, self._times = _Base(layer, index), Times(commit, index, {})
                return layer
            times = moved(repo, self._times, commit, time.time_ns(), self._builds)
            layer = self._lay(repo, base, times, folder, head)
            self._times = times
            return self._on_builds(repo, layer)
        except (subprocess.CalledProcessError, pygit2.GitError, OSError, KeyError, ValueError) as error:
            self._trash.throw(folder)
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise SwarmError(
                ErrorKind.GIT,
                f"trunk commit {commit[:12]} cannot be checked out: {_one_line(said)}",
                "check the run's trunk.git and the free disk space",
            ) from error

    def _lay(self, repo: pygit2.Repository, base: _Base, times: Times, folder: Path, head: Head) -> Layer:
        """Lay what is new on the stack, and take its upper layers in where they are small or too many."""
        stack = list(self._stack)
        while True:
            under = stack[-1].layer if stack else base.layer
            new = _new(times, stack[-1].times if stack else Times(base.layer.commit, base.index, {}))
            if not new:
                return Layer(times.commit, under.folders)
            if not stack or (not self._deep(under, folder) and len(new) < stack[-1].own // GROWTH):
                break
            stack.pop()
        delta = lay_delta(repo, folder, times.commit, new)
        changed = {**(stack[-1].changed if stack else {}), **delta.entries}
        finish_delta(folder, head, base.index, changed)
        size = delta.size + (stack[-1].size if stack else 0)
        layer = Layer(times.commit, (*under.folders, folder))
        self._stack = [*stack, _Step(layer, head, times, changed, size, len(delta.entries))]
        return layer

    def _deep(self, under: Layer, folder: Path) -> bool:
        depth = len(under.folders) + 1
        return depth > DEEPEST or _too_long(depth + DEEPEST_BUILDS + 1, folder)

    # --- what checks have built ------------------------------------------------------------------------------

    def _on_builds(self, repo: pygit2.Repository, layer: Layer) -> Layer:
        """A layer with what was built below it, but for what makes no sense at its commit."""
        builds = self._builds
        if builds is None or _too_long(len(layer.folders) + len(builds.folders) + 1, builds.folders[0]):
            return layer
        if hidden := misfits(repo, builds, layer.commit, self.excludes.rules):
            mask = self._new_folder()
            hide(mask, hidden)
            builds = masked(builds, mask, hidden)
        return Layer(layer.commit, (*builds.folders, *layer.folders), builds)

    async def keep_builds(
        self, stood_on: Layer, upper: Path, aside: Sequence[str], names: re.Pattern[str], limit: int
    ) -> None:
        """What a check built in a copy that nothing can write to any more is where copies begin from now on.

        `aside`: the paths in its `upper` that git ignores, of which those are moved away that `names` matches.
        All of it together may have `limit` bytes; where there is more, or it cannot be kept, copies begin without.
        """
        new, flat = self._new_folder(), self._new_folder()
        try:
            builds = await asyncio.to_thread(kept, stood_on.builds, stood_on.commit, upper, aside, names, new, flat)
            size = await asyncio.to_thread(disk_size, builds)
        except (OSError, RecursionError) as error:  # a full disk, or what was made to be in the way
            log.warning("what the check has built is not kept: %s", error)
            builds, size = None, 0
        if size > limit:
            log.warning("what checks have built takes %d MiB: builds begin anew", size >> 20)
            builds = None
        for folder in (new, flat):
            if builds is None or folder not in builds.folders:
                self._trash.throw(folder)
        async with self._turn:
            self._begin_from(builds)

    def _begin_from(self, builds: Builds | None) -> None:
        self._builds = builds
        self._made.clear()
        for folder in builds.folders if builds is not None else ():
            self._uses.setdefault(folder, 0)
        self._drop_unused()

    # --- a newer base ----------------------------------------------------------------------------------------

    def _renew_if_worn(self) -> None:
        top = self._stack[-1] if self._stack else None
        if top is None or self._closed or (self._renewing is not None and not self._renewing.done()):
            return
        if len(top.changed) > MAX_CHANGED or top.size > MAX_BYTES:
            self._renewing = asyncio.create_task(self._renew(top))

    async def _renew(self, top: _Step) -> None:
        """Make one folder of a layer and start later stacks from it. A failure leaves all as it is."""
        base = self._base
        assert base is not None
        folder = self._new_folder()
        index = decode_index(encode_index(base.index, top.changed))
        self._hold(top.layer)
        try:
            await asyncio.to_thread(merge_layers, self._origin, top.layer.folders, folder, top.head, index)
        except OSError:  # a full disk: who opens a copy will be told
            self._trash.throw(folder)
        else:
            async with self._turn:
                assert self._times is not None
                self._base, self._stack = _Base(Layer(top.layer.commit, (folder,)), index), []
                self._times = rebased(self._times, index)
                self._uses.setdefault(folder, 0)
                self._made.pop(top.layer.commit, None)
        finally:
            self.release(top.layer)


def _new(times: Times, under: Times) -> IndexEntries:
    """What is not shown as it is to be by what lies `under`, which has the same base and came before."""
    return {path: mark for path, mark in times.marks.items() if mark != under.of(path)}


def _too_long(depth: int, folder: Path) -> bool:
    """Whether so many layers with such paths are more than the kernel takes."""
    return depth * (len(str(folder)) + 16) > LONGEST


def _one_line(said: bytes | str | None) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""
    return " ".join(text.split())[:300]

"""Read-only layers of trunk commits, shared by all copies: a base, and a short stack of what changed since.

The stack is kept as a log-structured merge does: a new layer takes those above it that are not much larger, so that
opening a copy at a trunk that has moved writes about what moved, however old the base is. When much has changed a
newer base is made of links, beside the agents.
"""

import asyncio
import subprocess
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.errors import ErrorKind, SwarmError
from engine.repo.checkout import Head, Origin, check_out, finish_delta, lay_delta, merge_layers, received
from engine.repo.excludes import Excludes
from engine.repo.index import Entries, Index, decode, encode
from engine.repo.trash import Trash
from engine.repo.trees import differences
from engine.types import CommitId

MAX_CHANGED = 400
"""Entries changed since the base, and bytes, after which a newer one is made."""
MAX_BYTES = 16 << 20
GROWTH = 4
"""How many times larger than what is laid on it a layer must be to stay as it is."""
DEEPEST = 8
LONGEST = 2_800
"""The kernel takes a page of mount options; each layer's path stands there with a little around it."""


class Layer(Struct, frozen=True):
    """What a copy at `commit` stands on: folders, the lowest first."""

    commit: CommitId
    folders: tuple[Path, ...]


class _Base(Struct, frozen=True):
    """A whole checkout: its folders and its index."""

    layer: Layer
    index: Index


class _Step(Struct, frozen=True):
    """A layer of the stack. `changed` and `size` are since the base, `own` counts the entries of this layer."""

    layer: Layer
    head: Head
    changed: Entries
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
        self._number = 0
        self._base: _Base | None = None
        self._stack: list[_Step] = []
        self._made: dict[CommitId, Layer] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._closed = False

    async def use(self, commit: CommitId) -> Layer:
        """The layer of a trunk commit, made if need be. To be given back with `release`.

        Raises SwarmError (git).
        """
        async with self._turn:
            layer = self._made.get(commit)
            if layer is None:
                layer = self._made[commit] = await asyncio.to_thread(self._make, commit)
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

    # --- making ----------------------------------------------------------------------------------------------

    def _new_folder(self) -> Path:
        self._number += 1
        return self._folder / str(self._number)

    def _make(self, commit: CommitId) -> Layer:
        folder = self._new_folder()
        try:
            repo = pygit2.Repository(str(self._origin.trunk))
            head = received(self._origin, repo, commit)
            base = self._base
            if base is None:
                layer = Layer(commit, (folder,))
                self._base = _Base(layer, check_out(self._origin, folder, commit, head))
                return layer
            return self._lay(repo, base, folder, commit, head)
        except (subprocess.CalledProcessError, pygit2.GitError, OSError, KeyError, ValueError) as error:
            self._trash.throw(folder)
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            raise SwarmError(
                ErrorKind.GIT,
                f"trunk commit {commit[:12]} cannot be checked out: {_one_line(said)}",
                "check the run's trunk.git and the free disk space",
            ) from error

    def _lay(self, repo: pygit2.Repository, base: _Base, folder: Path, commit: CommitId, head: Head) -> Layer:
        """Lay what is new on the stack, and take its upper layers in where they are small or too many."""
        stack = list(self._stack)
        while stack and (self._deep(stack, folder) or _small(repo, stack[-1], commit)):
            stack.pop()
        under = stack[-1].layer if stack else base.layer
        delta = lay_delta(repo, folder, under.commit, commit)
        changed = {**(stack[-1].changed if stack else {}), **delta.entries}
        finish_delta(folder, head, base.index, changed)
        size = delta.size + (stack[-1].size if stack else 0)
        step = _Step(Layer(commit, (*under.folders, folder)), head, changed, size, len(delta.entries))
        self._stack = [*stack, step]
        return step.layer

    def _deep(self, stack: list[_Step], folder: Path) -> bool:
        depth = len(stack[-1].layer.folders) + 1
        return depth > DEEPEST or depth * (len(str(folder)) + 16) > LONGEST

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
        index = decode(encode(base.index, top.changed))
        self._hold(top.layer)
        try:
            await asyncio.to_thread(merge_layers, self._origin, top.layer.folders, folder, top.head, index)
        except OSError:  # a full disk: who opens a copy will be told
            self._trash.throw(folder)
        else:
            async with self._turn:
                self._base = _Base(Layer(top.layer.commit, (folder,)), index)
                self._stack = []
                self._made[top.layer.commit] = self._base.layer
                self._uses.setdefault(folder, 0)
        finally:
            self.release(top.layer)


def _small(repo: pygit2.Repository, upper: _Step, commit: CommitId) -> bool:
    """Whether a layer is small beside what would be laid on it."""
    old = repo[upper.layer.commit].peel(pygit2.Commit).tree
    new = repo[commit].peel(pygit2.Commit).tree
    return any(count >= upper.own // GROWTH for count, _ in enumerate(differences(old, new)))


def _one_line(said: bytes | str | None) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""
    return " ".join(text.split())[:300]

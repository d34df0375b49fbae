"""One agent's own copy of the repo: asks its sandbox for commands and files, reads from outside what was changed."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pygit2

from engine.domain.types import CommitId
from engine.ports.protocols import Entry, Match, Output, WorkspaceError, WorkspaceLost
from engine.repo.changes.change import message_bytes
from engine.repo.changes.commit_builder import BuildRequest, BuiltCommit, has_crlf
from engine.repo.changes.pending import PendingChanges
from engine.repo.changes.scan import Scan
from engine.repo.git.alternates import init_borrower, object_folders
from engine.repo.git.line_endings import convert_to_git, convert_to_work_tree
from engine.repo.git.objects import NewObjects
from engine.repo.git.trees import LINK, Content, FileChanges, apply_changes, differences
from engine.repo.workspaces.checkout import agents_git
from engine.repo.workspaces.copy_methods import Copy
from engine.repo.workspaces.layers import Layer, Layers
from engine.sandbox.containment import Containment
from engine.sandbox.disk import DiskBudget
from engine.sandbox.leftovers import record
from engine.sandbox.session import SandboxSession
from engine.sandbox.start_slots import StartSlots

MAX_READ = 8 << 20
AUTHOR = ("swarm", "swarm@localhost")


class AgentWorkspace:
    """A protocols.Workspace. Its sandbox starts with `start`, or with the first operation that needs it.

    `on_close` is told whether it is certain that nothing can touch the copy any more.
    """

    def __init__(
        self,
        copy: Copy,
        layer: Layer,
        layers: Layers,
        containment: Containment,
        trunk_git: Path,
        pending: PendingChanges,
        start_slots: StartSlots,
        on_close: Callable[["AgentWorkspace", bool], None],
    ) -> None:
        self.root = containment.root(copy.folder)
        self.base = layer.commit
        self.copy = copy
        self.layer = layer
        self._layers = layers
        self._containment = containment
        self._trunk_git = trunk_git
        self._pending = pending
        self._start_slots = start_slots
        self._pending_commit: CommitId | None = None
        self._looking = threading.Lock()
        self._on_close = on_close
        self._disk = DiskBudget(
            (copy.changed, *(copy.folder / name for name in ("tmp", "home", "scratch.git"))),
            containment.limits.disk,
            containment.shared_limits.disk,
            empty=copy.stamps is None,
        )
        self._session: SandboxSession | None = None
        self._starting = asyncio.Lock()
        self._starter: asyncio.Task[None] | None = None
        self._started_ahead = False
        self._closed = False
        """Nothing more may be asked of it."""
        self._closing: asyncio.Task[None] | None = None
        self._outputs = 0
        self._extra_tracked: frozenset[str] = frozenset()

    @property
    def sandbox_pid(self) -> int | None:
        """The process whose end is the sandbox's end; None before the first use."""
        return self._session.pid if self._session is not None else None

    # --- commands and files ---

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        session = await self._live()
        self._outputs += 1
        await self._disk.begin()
        guard = asyncio.create_task(self._disk.guard(session.end_command, session.pid, self.root))
        try:
            return await session.run(command, timeout_s, f".swarm/output-{self._outputs}.txt", on_output)
        finally:
            guard.cancel()
            await self._disk.settle()

    async def freeze(self) -> None:
        await (await self._live()).freeze()

    async def thaw(self) -> None:
        await (await self._live()).thaw()

    async def read_file(self, path: str) -> bytes:
        [content] = await self._ask(path, b"read", _raw(path), str(MAX_READ).encode(), answers=1)
        return content

    async def write_file(self, path: str, content: bytes) -> None:
        await self._ask(path, b"write", _raw(path), content)

    async def list_files(self, path: str, depth: int, limit: int) -> list[Entry]:
        fields = await self._ask(path, b"list", _raw(path), str(max(1, depth)).encode(), str(max(0, limit)).encode())
        return [Entry(_shown(name), int(size)) for name, size in zip(fields[0::2], fields[1::2], strict=False)]

    async def search(self, pattern: str, path: str, limit: int) -> list[Match]:
        session = await self._live()
        try:
            fields = await session.search(pattern, _raw(path), max(1, limit))
        except WorkspaceError as error:
            raise WorkspaceError(f"{pattern!r} in {path or '.'}: {error}") from None
        return [
            Match(_shown(name), int(line), text.decode("utf-8", "replace"))
            for name, line, text in zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
        ]

    async def _ask(self, path: str, what: bytes, *fields: bytes, answers: int | None = None) -> list[bytes]:
        session = await self._live()
        try:
            answer = await session.ask(what, *fields)
        except WorkspaceError as error:
            raise WorkspaceError(f"{path or '.'}: {error}") from None
        if answers is not None and len(answer) != answers:
            raise WorkspaceLost("its sandbox sent what is no answer")
        return answer

    def start(self) -> None:
        """Begin to start the sandbox while its agent's model is still thinking of what to do in it."""
        self._starter = asyncio.create_task(self._start())

    async def _start(self) -> None:
        async with self._start_slots.slot(needed=False):
            self._started_ahead = True
            with contextlib.suppress(WorkspaceLost, OSError):  # who needs it will try, and be told
                await self._up()

    async def _live(self) -> SandboxSession:
        if self._session is not None and not self._closed:
            return self._session
        async with self._start_slots.slot(needed=True):
            return await self._up()

    async def _up(self) -> SandboxSession:
        """Once it has died it is never started again: what the agent did in it is not to be trusted to be whole."""
        async with self._starting:
            if self._closed:
                raise WorkspaceLost("the workspace is closed")
            if self._session is None:
                self._session = await SandboxSession.start(self._containment.start(self.copy.folder, self.copy.mount))
                record(self.copy.folder / "pid", self._session.pid, self._session.started)
            return self._session

    # --- what was changed ---

    async def changed(self) -> tuple[str, ...]:
        return await asyncio.to_thread(self._changed)

    async def diff(self) -> str:
        return await asyncio.to_thread(self._diff)

    async def commit(self, message: str) -> CommitId:
        if self.copy.stamps is None:
            return await self._pending.builder.build(
                self._build_request(message), self._layers.excludes.rules, self._accept, lambda: self._commit(message)
            )
        return await asyncio.to_thread(self._commit, message)

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        gone, put = await asyncio.to_thread(self._difference, commit)
        for path in gone:
            await self._ask(path, b"remove", _raw(path))
        for path, mode, data in put:
            await self._ask(path, b"put", _raw(path), str(mode).encode(), data)
        self._extra_tracked |= {path for path, _, _ in put}
        self.base = base
        # The agent's own git is to see the new base as what it received; a copy works without it, too.
        layer = await self._layers.use(base)
        try:
            for name, data in await asyncio.to_thread(agents_git, layer.folders[-1]):
                await self._ask(f".git/{name}", b"put", f".git/{name}".encode(), b"33188", data)
        finally:
            self._layers.release(layer)

    def _scratch(self) -> pygit2.Repository:
        """Where the objects of what is only looked at go: it is removed with the copy."""
        folder = self.copy.folder / "scratch.git"
        with self._looking:
            if not folder.exists():
                init_borrower(folder, object_folders(self._trunk_git / "objects"))
        return pygit2.Repository(str(folder))

    def _tree(self, repo: pygit2.Repository, commit: CommitId) -> pygit2.Tree:
        return repo[commit].peel(pygit2.Commit).tree

    def _changes(self) -> Scan:
        """What the copy holds now that it did not receive."""
        if self._closed:
            raise WorkspaceLost("the workspace is closed")
        return self._scan()

    def _scan(self) -> Scan:
        objects = NewObjects(self._pending.store)
        received = self._pending.tree_of(self.layer.commit)
        scan = Scan(objects, received, self.copy.stamps, self._extra_tracked, self._layers.excludes.rules)
        scan.run(self.copy.changed)
        return scan

    def _present(self, repo: pygit2.Repository) -> pygit2.Tree:
        """The copy's tree as it stands now, its objects written into `repo`."""
        changes = self._changes().changes
        received = self._tree(repo, self.layer.commit)
        try:
            attributes = self._attributes(repo, received, changes)
            return repo[apply_changes(repo, received, changes, attributes)].peel(pygit2.Tree)
        except (ValueError, pygit2.GitError) as error:
            raise WorkspaceError(f"git cannot store the copy: {error}") from error

    def _attributes(self, repo: pygit2.Repository, received: pygit2.Tree, changes: FileChanges) -> str:
        """A commit with the `.gitattributes` of the base, or with those of the agent where it changed some."""
        own = {path: change for path, change in changes.items() if path.rpartition("/")[2] == ".gitattributes"}
        if not own:
            return self.base
        tree = apply_changes(repo, received, own, self.base)
        who = pygit2.Signature(*AUTHOR)
        return str(repo.create_commit(None, who, who, "attributes", tree, []))

    def _changed(self) -> tuple[str, ...]:
        repo = self._scratch()
        return tuple(sorted(path for path, _ in differences(self._tree(repo, self.base), self._present(repo))))

    def _diff(self) -> str:
        repo = self._scratch()
        diff = self._tree(repo, self.base).diff_to_tree(self._present(repo))
        diff.find_similar()
        return (diff.patch or "") if len(diff) else ""

    def _commit(self, message: str) -> CommitId:
        scan = self._changes()
        if scan.rejected:
            raise WorkspaceError(scan.rejected[0])
        self._release_pending()
        try:
            self._pending_commit = self._pending.build(self.base, self.layer.commit, self._as_stored(scan), message)
        except (OSError, ValueError, pygit2.GitError) as error:
            raise WorkspaceError(f"git cannot store the copy: {error}") from error
        return self._pending_commit

    def _build_request(self, message: str) -> BuildRequest:
        """What `_commit` does, for another process."""
        root = self._pending.tree_of(self.layer.commit)
        carried = tuple(map(os.fsencode, self._extra_tracked))
        at = int(time.time())
        return BuildRequest(os.fsencode(self.copy.changed), root, carried, self.base, message_bytes(message), at)

    def _accept(self, built: BuiltCommit) -> CommitId:
        if self._closed:
            raise WorkspaceLost("the workspace is closed")
        if built.rejected:
            raise WorkspaceError(built.rejected)
        self._release_pending()
        try:
            self._pending_commit = self._pending.accept(self.base, built)
        except OSError as error:
            raise WorkspaceError(f"git cannot store the copy: {error}") from error
        return self._pending_commit

    def _as_stored(self, scan: Scan) -> FileChanges:
        """The changes with the line endings that git stores."""
        if not has_crlf(scan.changes):
            return scan.changes
        repo = self._scratch()
        attributes = self._attributes(repo, self._tree(repo, self.layer.commit), scan.changes)

        def stored(path: str, content: Content) -> Content:
            old = scan.objects.entry(scan.root, os.fsencode(path))
            before = repo.get(pygit2.Oid(raw=old[1])) if old is not None else None
            return Content(content.mode, convert_to_git(repo, content.data, path, attributes, before))

        return {
            path: content if content is None or content.mode == LINK else stored(path, content)
            for path, content in scan.changes.items()
        }

    def _release_pending(self) -> None:
        """Of the last change that was made here: it has landed, or another follows."""
        if self._pending_commit is not None:
            self._pending.release(self._pending_commit)
            self._pending_commit = None

    def _difference(self, commit: CommitId) -> tuple[list[str], list[tuple[str, int, bytes]]]:
        """What to remove and what to put so that the copy becomes `commit`'s tree."""
        if (kept := self._pending.get(commit)) is not None:  # another copy's change, not landed yet
            self._pending.write(kept)
        repo = self._scratch()
        gone: list[str] = []
        put: list[tuple[str, int, bytes]] = []
        for path, entry in differences(self._present(repo), self._tree(repo, commit)):
            if entry is None:
                gone.append(path)
            elif entry.filemode != pygit2.GIT_FILEMODE_COMMIT:
                data = repo[entry.id].peel(pygit2.Blob).data
                mode = int(entry.filemode)
                put.append((path, mode, data if mode == LINK else convert_to_work_tree(repo, data, path, commit)))
        return gone, put

    # --- the end ---

    async def end(self) -> bool:
        """End the sandbox. Whether it is certain that nothing can touch the copy any more."""
        self._closed = True
        async with self._starting:
            if self._session is None:
                return True
            return await self._session.end()

    def aside(self) -> list[str]:
        """The paths in an ended copy's upper that git ignores, and what is gone of such. Raises WorkspaceError."""
        return self._scan().ignored

    async def close(self) -> None:
        """To its end, even where whoever asks for it is cancelled meanwhile."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._release_pending()
        if self.copy.stamps is not None:
            quiet = await self.end()
        else:
            self._closed = quiet = True
            async with self._starting:
                if self._session is not None:
                    await self._session.close()
        if self._starter is not None:
            await self._starter
        self._disk.forget()
        self._on_close(self, quiet)


def _raw(path: str) -> bytes:
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise WorkspaceError(f"{path!r}: is not a usable name") from None


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")

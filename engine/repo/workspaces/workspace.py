"""One agent's workspace: runs commands and file operations in its sandbox, and finds what was changed from outside."""

import asyncio
import contextlib
import os
import posixpath
import re
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path

import pygit2
from msgspec import MsgspecError
from msgspec.structs import replace

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import output_text, path_bytes, path_str, path_text
from engine.domain.types import CommitId
from engine.ports.protocols import Entry, Match, Output, WorkspaceError, WorkspaceLost
from engine.repo.changes.change import message_bytes
from engine.repo.changes.commit_builder import BuildRequest, BuiltCommit, may_convert
from engine.repo.changes.left_out import LINE_ENDS
from engine.repo.changes.pending import PendingChanges
from engine.repo.changes.scan import Scan
from engine.repo.git.alternates import init_borrower
from engine.repo.git.conversion import copy_local_attributes
from engine.repo.git.git import fsck_hint
from engine.repo.git.objects import UNLANDED, NewObjects
from engine.repo.git.trees import LINK, Content, FileChanges, apply_changes, differences, tree_of
from engine.repo.workspaces.checkout import HEAD_REF
from engine.repo.workspaces.copy_methods import Copy
from engine.repo.workspaces.copy_record import CopyRecord, Update, read_update, write_record, write_update
from engine.repo.workspaces.layers import LayerStack, LayerStore
from engine.sandbox.containment import Containment
from engine.sandbox.disk import DiskBudget, OverLimit
from engine.sandbox.leftovers import record
from engine.sandbox.removal import delete_tree
from engine.sandbox.session import SandboxSession
from engine.sandbox.start_slots import StartSlots
from engine.sandbox.toolchains import HOME

MAX_READ_BYTES = 8 << 20
AUTHOR = ("swarm", "swarm@localhost")
UNDER_WAY = (
    *("rebase-merge", "rebase-apply", "sequencer", "MERGE_HEAD", "MERGE_MODE", "MERGE_MSG", "AUTO_MERGE"),
    *("CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG"),
)
"""What git has in its folder while it rebases, merges or bisects."""
OUTPUT = re.compile(r"output-(\d{1,9})\.txt")


class Ended(Enum):
    """How a workspace ended. `STOPPED`: it is certain that no process can touch the copy any more."""

    STOPPED = auto()
    KILLED = auto()
    LEFT = auto()


class AgentWorkspace:
    """Implements protocols.Workspace. Its sandbox starts with `start`, or with the first operation that needs it.

    `record` says what it started as. `on_close` is called when it is closed or left.
    """

    def __init__(
        self,
        copy: Copy,
        record: CopyRecord,
        stack: LayerStack,
        layers: LayerStore,
        containment: Containment,
        trunk_git: Path,
        pending: PendingChanges,
        start_slots: StartSlots,
        on_close: Callable[["AgentWorkspace", Ended], None],
        *,
        preferred: bool = False,
    ) -> None:
        self.root = path_text(record.root)
        self.base = record.base
        self.opened_ns = time.time_ns()
        self.left_out: Mapping[str, str] = {}
        self.copy = copy
        self._record = record
        self.stack = stack
        self._layers = layers
        self._containment = containment
        self._trunk_git = trunk_git
        self._pending = pending
        self._start_slots = start_slots
        self._pending_commit: CommitId | None = None
        self._scratch_lock = threading.Lock()
        self._on_close = on_close
        self._preferred = preferred
        self._disk = DiskBudget(
            (copy.changed, *(copy.folder / name for name in ("tmp", "home", "scratch.git"))),
            containment.disk,
            empty=copy.stamps is None,
        )
        self._session: SandboxSession | None = None
        self._starting = asyncio.Lock()
        self._early_start: asyncio.Task[None] | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._outputs = 0
        self._extra_tracked = frozenset(map(os.fsdecode, record.tracked))

    @property
    def sandbox_pid(self) -> int | None:
        """The top process of the sandbox, whose exit ends it; None before the first use."""
        return self._session.pid if self._session is not None else None

    # --- commands and files ---

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        session = await self._running_session()
        self._outputs += 1
        try:
            places = (os.fsdecode(self._record.root), *([HOME] if self.copy.mount.home is not None else []))
            async with self._disk.guard(session, *places):
                return await session.run(command, timeout_s, f".swarm/output-{self._outputs}.txt", on_output)
        except OverLimit as error:
            return Output(exit=None, text=f"{error}\n", cut=0, whole="", killed="disk", wall_s=0.0)

    async def freeze(self) -> None:
        await (await self._running_session()).freeze()

    async def thaw(self) -> None:
        await (await self._running_session()).thaw()

    async def read_file(self, path: str) -> bytes:
        [content] = await self._ask(path, b"read", _encode(path), str(MAX_READ_BYTES).encode(), answers=1)
        return content

    async def write_file(self, path: str, content: bytes) -> None:
        await self._disk.admit(len(content))
        await self._ask(path, b"write", _encode(path), content)

    async def remove_file(self, path: str) -> None:
        await self._ask(path, b"remove", _encode(path))

    async def encode_new(self, path: str, text: str) -> bytes:
        content = text.encode()
        root = path_str(self.root)
        inside = posixpath.relpath(posixpath.join(root, os.fsdecode(_encode(path))), root)
        encoded, line_end = await asyncio.to_thread(self._layers.checked_out, content, inside, self.base)
        if line_end or b"\n" not in content or b"\r" in content or content.startswith(b"#!"):
            return encoded
        [beside] = await self._ask(path, b"line_end", os.fsencode(inside), answers=1)
        if beside != b"\r\n":  # the sandbox may say anything
            return encoded
        crlf = content.replace(b"\n", beside)
        return (await asyncio.to_thread(self._layers.checked_out, crlf, inside, self.base))[0]

    async def list_files(self, path: str, depth: int, limit: int) -> list[Entry]:
        fields = await self._ask(path, b"list", _encode(path), str(max(1, depth)).encode(), str(max(0, limit)).encode())
        return [Entry(path_text(name), int(size)) for name, size in zip(fields[0::2], fields[1::2], strict=False)]

    async def search(
        self, pattern: str, path: str, limit: int, globs: tuple[str, ...] = (), context: int = 0
    ) -> list[Match]:
        session = await self._running_session()
        try:
            fields = await session.search(pattern, _encode(path), max(1, limit), globs, max(0, context))
        except WorkspaceError as error:
            raise WorkspaceError(f"{pattern!r} in {path or '.'}: {error}") from None
        return [
            Match(path_text(name), int(line), output_text(text), kind == b"-")
            for name, line, kind, text in zip(fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=False)
        ]

    async def _ask(self, path: str, operation: bytes, *fields: bytes, answers: int | None = None) -> list[bytes]:
        session = await self._running_session()
        try:
            answer = await session.ask(operation, *fields)
        except WorkspaceError as error:
            raise WorkspaceError(f"{path or '.'}: {error}") from None
        if answers is not None and len(answer) != answers:
            raise WorkspaceLost("unexpected response from its sandbox")
        return answer

    def start(self) -> None:
        """Start the sandbox in the background, while the agent waits for its model's first response."""
        self._early_start = asyncio.create_task(self._start_early())

    async def _start_early(self) -> None:
        async with self._start_slots.slot(needed=False):
            with contextlib.suppress(WorkspaceLost, OSError):  # the first operation tries again and reports the error
                await self._start_session()

    async def _running_session(self) -> SandboxSession:
        if self._session is not None and not self._closed:
            return self._session
        async with self._start_slots.slot(needed=True):
            return await self._start_session()

    async def _start_session(self) -> SandboxSession:
        """Start the sandbox once. A dead sandbox is not restarted: the agent's files may be incomplete."""
        async with self._starting:
            if self._closed:
                raise WorkspaceLost("the workspace is closed")
            if self._session is None:
                start = self._containment.start(self.copy.folder, self.copy.mount, preferred=self._preferred)
                self._session = await SandboxSession.start(start)
                record(self.copy.folder / "pid", self._session.first_pids())
            return self._session

    async def resume(self) -> None:
        """Start the sandbox over the files that an earlier process left, and finish the update that it began.

        Raises WorkspaceLost.
        """
        try:
            update = await asyncio.to_thread(self._read_left)
            await self._running_session()
            if update is not None:
                await self._update(update)
        except (OSError, MsgspecError, WorkspaceError, SwarmError) as error:
            raise WorkspaceLost(f"its files cannot be used: {error}") from error

    def _read_left(self) -> Update | None:
        """Prepare the files for a new sandbox; returns the update that was under way. Raises OSError, MsgspecError."""
        folder = self.copy.folder
        delete_tree(folder / "scratch.git")
        if self.copy.stamps is None:
            for work in (folder / "work", folder / "home-work"):
                delete_tree(work)
                work.mkdir()
            (folder / "home").mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            names = [found.name for found in (self.copy.changed / ".swarm").iterdir()]
            self._outputs = max((int(number[1]) for name in names if (number := OUTPUT.fullmatch(name))), default=0)
        return read_update(folder)

    # --- changes ---

    async def changed(self) -> tuple[str, ...]:
        return await asyncio.to_thread(self._changed)

    async def find_left_out(self) -> None:
        await asyncio.to_thread(self._changes)

    async def diff(self) -> str:
        return await asyncio.to_thread(self._diff)

    async def commit(self, message: str) -> CommitId:
        if self.copy.stamps is None:
            return await self._pending.builder.build(
                self._build_request(message), self._layers.excludes.rules, self._accept, lambda: self._commit(message)
            )
        return await asyncio.to_thread(self._commit, message)

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        removed, written = await asyncio.to_thread(self._files_to_update, commit)
        contents = ((os.fsencode(path), mode, data) for path, mode, data in written)
        update = Update(base, tuple(map(os.fsencode, removed)), tuple(contents))
        await asyncio.to_thread(write_update, self.copy.folder, update)
        await self._update(update)

    async def _update(self, update: Update) -> None:
        """Carry out an update, which may have begun before: each step gives the same result again."""
        for path in update.removed:
            await self._ask(os.fsdecode(path), b"remove", path)
        for path, mode, data in update.written:
            await self._ask(os.fsdecode(path), b"put", path, str(mode).encode(), data)
        # The agent's own git should show the new base as what it received, whatever the agent was doing with it.
        for name in UNDER_WAY:
            await self._ask(f".git/{name}", b"remove", f".git/{name}".encode())
        stack = await self._layers.use(update.base)
        try:
            for name, data in (await asyncio.to_thread(self._git_files, stack)).items():
                await self._ask(f".git/{name}", b"put", f".git/{name}".encode(), b"33188", data)
        finally:
            self._layers.release(stack)
        tracked = {*self._record.tracked, *(path for path, _, _ in update.written)}
        self._record = replace(self._record, base=update.base, tracked=tuple(sorted(tracked)))
        await asyncio.to_thread(write_record, self.copy.folder, self._record)
        self._extra_tracked, self.base = frozenset(map(os.fsdecode, tracked)), update.base

    async def shown(self, commit: CommitId) -> CommitId:
        return await asyncio.to_thread(self._layers.shown, commit, trunk_history=self._record.trunk_history)

    def _git_files(self, stack: LayerStack) -> dict[str, bytes]:
        """What changes in `.git` with the base, by name. The branch comes last."""
        index = (stack.folders[-1] / ".git" / "index").read_bytes()
        return {
            "index": index,
            "HEAD": HEAD_REF.encode(),
            **self._layers.head_files(stack.commit, trunk_history=self._record.trunk_history),
        }

    def _scratch(self) -> pygit2.Repository:
        """A repository for temporary objects, which is removed with the copy."""
        folder = self.copy.folder / "scratch.git"
        with self._scratch_lock:
            if not folder.exists():
                init_borrower(folder, [])
                copy_local_attributes(self._trunk_git, folder)
        repo = pygit2.Repository(str(folder))
        for name in (UNLANDED, "objects"):  # libgit2 cannot read a path with a newline from the file of alternates
            repo.odb.add_disk_alternate(str(self._trunk_git / name))
        return repo

    def _changes(self) -> Scan:
        """What differs from the tree that the workspace started with."""
        if self._closed:
            raise WorkspaceLost("the workspace is closed")
        return self._scan()

    def _scan(self) -> Scan:
        objects = NewObjects(self._pending.store)
        try:
            received = self._pending.tree_of(self.stack.commit)
            scan = Scan(objects, received, self.copy.stamps, self._extra_tracked, self._layers.excludes.rules)
            scan.run(self.copy.changed)
        except KeyError as error:
            raise SwarmError(ErrorKind.GIT, f"cannot read object {error}", fsck_hint(self._trunk_git)) from error
        self.left_out = scan.left_out
        return scan

    def _current_tree(self, repo: pygit2.Repository) -> pygit2.Tree:
        """The tree of the current files; its objects are written into `repo`."""
        changes = self._changes().changes
        received = tree_of(repo, self.stack.commit)
        try:
            attributes = self._attributes(repo, received, changes)
            return repo[apply_changes(repo, received, changes, self._layers.conversion, attributes)].peel(pygit2.Tree)
        except (ValueError, pygit2.GitError) as error:
            raise _cannot_store(error) from error

    def _attributes(self, repo: pygit2.Repository, received: pygit2.Tree, changes: FileChanges) -> str:
        """A commit with the `.gitattributes` of the base and the agent's changes to them."""
        own = {path: change for path, change in changes.items() if path.rpartition("/")[2] == ".gitattributes"}
        if not own:
            return self.base
        tree = apply_changes(repo, received, own, self._layers.conversion, self.base)
        who = pygit2.Signature(*AUTHOR)
        return str(repo.create_commit(None, who, who, "attributes", tree, []))

    def _changed(self) -> tuple[str, ...]:
        repo = self._scratch()
        return tuple(
            sorted(path_text(path) for path, _ in differences(tree_of(repo, self.base), self._current_tree(repo)))
        )

    def _diff(self) -> str:
        repo = self._scratch()
        diff = tree_of(repo, self.base).diff_to_tree(self._current_tree(repo))
        diff.find_similar()
        return output_text(b"".join(patch.data for patch in diff if patch is not None))

    def _commit(self, message: str) -> CommitId:
        scan = self._changes()
        if scan.rejected:
            raise WorkspaceError(scan.rejected[0])
        self._release_pending()
        try:
            self._pending_commit = self._pending.build(self.base, self.stack.commit, self._as_stored(scan), message)
        except (OSError, ValueError, pygit2.GitError) as error:
            raise _cannot_store(error) from error
        return self._pending_commit

    def _build_request(self, message: str) -> BuildRequest:
        """What the builder process needs to do the work of `_commit`."""
        root = self._pending.tree_of(self.stack.commit)
        extra = tuple(map(os.fsencode, self._extra_tracked))
        at = int(time.time())
        return BuildRequest(os.fsencode(self.copy.changed), root, extra, self.base, message_bytes(message), at)

    def _accept(self, built: BuiltCommit) -> CommitId:
        if self._closed:
            raise WorkspaceLost("the workspace is closed")
        if built.rejected:
            raise WorkspaceError(built.rejected)
        self.left_out = built.left_out
        self._release_pending()
        try:
            self._pending_commit = self._pending.accept(self.base, self.stack.commit, built)
        except OSError as error:
            raise _cannot_store(error) from error
        return self._pending_commit

    def _as_stored(self, scan: Scan) -> FileChanges:
        """The changes as git stores them. Raises ValueError for a file that is not in its encoding."""
        if not may_convert(scan):
            return scan.changes
        repo = self._scratch()
        attributes = self._attributes(repo, tree_of(repo, self.stack.commit), scan.changes)

        def stored(path: str, content: Content) -> Content:
            old = scan.objects.entry(scan.root, os.fsencode(path))
            before = repo.get(pygit2.Oid(raw=old[1])) if old is not None else None
            data = self._layers.conversion.to_git(repo, content.data, path, attributes, before, strict=True)
            same = isinstance(before, pygit2.Blob) and data == before.data
            if same and content.data != self._layers.conversion.to_work_tree(repo, data, path, attributes):
                scan.left_out[path_text(path)] = LINE_ENDS
            return Content(content.mode, data)

        return {
            path: content if content is None or content.mode == LINK else stored(path, content)
            for path, content in scan.changes.items()
        }

    def _release_pending(self) -> None:
        """Release the last change of this workspace: it has landed, or a new one replaces it."""
        if self._pending_commit is not None:
            self._pending.release(self._pending_commit)
            self._pending_commit = None

    def _files_to_update(self, commit: CommitId) -> tuple[list[str], list[tuple[str, int, bytes]]]:
        """Which files to remove and which to write (path, mode, content) to bring the workspace to `commit`."""
        if (change := self._pending.get(commit)) is not None:  # of another workspace, not landed yet
            self._pending.write(change)
        repo = self._scratch()
        removed: list[str] = []
        written: list[tuple[str, int, bytes]] = []
        for path, entry in differences(self._current_tree(repo), tree_of(repo, commit)):
            if entry is None:
                removed.append(path)
            elif entry.filemode != pygit2.GIT_FILEMODE_COMMIT:
                data = repo[entry.id].peel(pygit2.Blob).data
                mode = int(entry.filemode)
                if mode != LINK:
                    data = self._layers.conversion.to_work_tree(repo, data, path, commit)
                written.append((path, mode, data))
        return removed, written

    # --- closing ---

    async def stop(self) -> bool:
        """Stop the sandbox. Returns whether it is certain that no process can touch the copy any more."""
        self._closed = True
        async with self._starting:
            if self._session is None:
                return True
            return await self._session.end()

    def ignored(self) -> list[str]:
        """The ignored paths in the upper folder of a stopped workspace, also deleted ones. Raises WorkspaceError."""
        return self._scan().ignored

    async def close(self) -> None:
        """See protocols.Workspace. Closing continues even if the caller is cancelled."""
        await self._close_once(leave=False)

    async def leave(self) -> None:
        """See protocols.Workspace. Has no effect on one that is being closed."""
        await self._close_once(leave=True)

    async def _close_once(self, *, leave: bool) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(leave=leave))
        await asyncio.shield(self._closing)

    async def _close(self, *, leave: bool) -> None:
        self._release_pending()
        if self.copy.stamps is not None and not leave:
            stopped = await self.stop()
        else:
            self._closed, stopped = True, False
            async with self._starting:
                if self._session is not None:
                    await self._session.close()
        if self._early_start is not None:
            await self._early_start
        self._disk.forget()
        self._on_close(self, Ended.LEFT if leave else Ended.STOPPED if stopped else Ended.KILLED)


def _encode(path: str) -> bytes:
    """The path that a tool was given. Raises WorkspaceError."""
    with contextlib.suppress(UnicodeEncodeError):
        if 0 not in (name := path_bytes(path)):
            return name
    raise WorkspaceError(f"{path!r}: invalid file name")


def _cannot_store(error: Exception) -> WorkspaceError:
    return WorkspaceError(f"git cannot store the workspace: {error}")

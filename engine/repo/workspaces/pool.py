"""Opens and closes the workspaces of one run, and removes what they and earlier processes left."""

import asyncio
import logging
import os
import re
import subprocess
from collections.abc import Collection
from itertools import count
from pathlib import Path

from msgspec import MsgspecError, Struct
from msgspec.structs import replace

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.domain.units import duration_s, size_bytes
from engine.ports.protocols import Output, Workspace, WorkspaceError, WorkspaceLost
from engine.repo.changes.pending import PendingChanges
from engine.repo.git.conversion import read_conversion
from engine.repo.git.git import Git
from engine.repo.workspaces.boot import boot_id
from engine.repo.workspaces.checkout import write_head
from engine.repo.workspaces.copy_methods import Copy, SpareCopy, copy_tree, make_copy, no_room
from engine.repo.workspaces.copy_record import (
    CopyRecord,
    read_copy,
    read_record,
    write_record,
    write_stamps,
)
from engine.repo.workspaces.excludes import read_excludes
from engine.repo.workspaces.layers import LayerStack, LayerStore
from engine.repo.workspaces.trash import Trash
from engine.repo.workspaces.warm_builds import Made, build_name_pattern
from engine.repo.workspaces.workspace import AgentWorkspace, Ended
from engine.sandbox.guarantees import CopyMethod, SandboxReport
from engine.sandbox.leftovers import kill_recorded
from engine.sandbox.probe import Choice, choose
from engine.sandbox.shared_limits import CpuShare
from engine.sandbox.start_slots import StartSlots

STARTS_PER_CORE = 2
"""Sandboxes per core that may be starting at the same time."""
SETUP_AGENT = AgentId("setup")
MAX_SPARES = 8
"""Full copies that are kept for later workspaces. Overlays are not: a new one is faster than restoring an old one."""

_ANY = re.compile("")

log = logging.getLogger("swarm")


class _KeptCopy(Struct, frozen=True):
    """A copy that an earlier process left. Its layers count as in use."""

    copy: Copy
    record: CopyRecord
    stack: LayerStack


class WorkspacePool:
    """Implements protocols.Workspaces in one state folder. Use from one event loop."""

    def __init__(
        self,
        folder: Path,
        trunk_git: Path,
        choice: Choice,
        layers: LayerStore,
        trash: Trash,
        pending: PendingChanges,
        build: BuildSettings,
    ) -> None:
        self._folder = folder
        self._trunk_git = trunk_git
        self._choice = choice
        self._layers = layers
        self._pending = pending
        self._trash = trash
        self._start_slots = StartSlots(STARTS_PER_CORE * (os.cpu_count() or 1))
        self._by_agent: dict[AgentId, AgentWorkspace] = {}
        self._open: set[AgentWorkspace] = set()
        self._kept: dict[AgentId, _KeptCopy] = {}
        self._spares: list[tuple[SpareCopy, LayerStack]] = []
        self._numbers = count(1)
        """For the names of spare copies: an agent may leave a second one before the first is used."""
        self._names: set[str] = set()
        """The folder names of copies that exist or are being made."""
        self._closed = False
        self._cleaning: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self.level = choice.report.level.value
        self.method = choice.report.method.value
        self.not_guaranteed = choice.report.not_guaranteed
        self.granted = choice.report.granted
        self.tools = choice.report.tools
        self._build_names = build_name_pattern(build.warm)
        self._build_limit = size_bytes(build.warm_size)
        self._caches = [folder.removeprefix("~/").removesuffix("/") for folder in build.caches]
        self.warm = bool(build.warm or build.caches) and choice.method is CopyMethod.OVERLAY
        self.setup = build.setup
        self._setup_timeout_s = duration_s(build.setup_timeout)

    @property
    def report(self) -> SandboxReport:
        return self._choice.report

    def prepare(self, commit: CommitId) -> None:
        """Make the layers of `commit` in the background, so that the first workspace need not wait for all of it."""
        self._preparing = asyncio.create_task(self._prepare(commit))

    async def _prepare(self, commit: CommitId) -> None:
        try:
            self._layers.release(await self._layers.use(commit))
            await asyncio.to_thread(self._layers.head_files, commit, trunk_history=False)
        except SwarmError:
            pass  # opening a workspace reports it

    async def open(
        self,
        agent: AgentId,
        commit: CommitId,
        *,
        clean: bool = False,
        trunk_history: bool = False,
        preferred: bool = False,
    ) -> AgentWorkspace:
        """See protocols.Workspaces. A new one's sandbox starts in the background. Raises SwarmError (git, state)."""
        if self._closed:
            raise SwarmError(ErrorKind.STATE, "cannot open a workspace: the run has ended", "resume the run")
        if (kept := self._kept.get(agent)) is not None:
            if kept.record.base == commit:
                return await self._reopen(agent)
            self.drop(agent)
        stack = await self._layers.use(commit, clean=clean)
        folder = self._folder_for(agent)
        try:
            copy = await self._copy(folder, stack, clean)
            record = await asyncio.to_thread(self._begin_record, agent, copy, stack, trunk_history)
        except BaseException:
            self._layers.release(stack)
            self._discard(folder)
            raise
        workspace = self._workspace(agent, _KeptCopy(copy, record, stack), preferred=preferred)
        workspace.start()
        return workspace

    def _workspace(self, agent: AgentId, made: _KeptCopy, *, preferred: bool = False) -> AgentWorkspace:
        workspace = AgentWorkspace(
            made.copy,
            made.record,
            made.stack,
            self._layers,
            self._choice.containment,
            self._trunk_git,
            self._pending,
            self._start_slots,
            self._on_close,
            preferred=preferred,
        )
        self._open.add(workspace)
        self._by_agent[agent] = workspace
        return workspace

    # --- copies that an earlier process left -----------------------------------------------------------------

    @property
    def kept(self) -> dict[AgentId, CommitId]:
        return {agent: kept.record.base for agent, kept in self._kept.items()}

    def drop(self, agent: AgentId) -> None:
        if (kept := self._kept.pop(agent, None)) is not None:
            self._layers.release(kept.stack)
            self._discard(kept.copy.folder)

    async def _reopen(self, agent: AgentId) -> AgentWorkspace:
        """Raises WorkspaceLost, and discards the copy, when it cannot be used."""
        workspace = self._workspace(agent, self._kept.pop(agent))
        try:
            await workspace.resume()
        except asyncio.CancelledError:
            await workspace.leave()
            raise
        except WorkspaceLost:
            await workspace.close()
            raise
        return workspace

    def _begin_record(self, agent: AgentId, copy: Copy, stack: LayerStack, trunk_history: bool) -> CopyRecord:
        layers = tuple(map(os.fsencode, stack.folders))
        root = os.fsencode(self._choice.containment.root(copy.folder))
        caches = tuple(map(os.fsencode, stack.caches))
        record = CopyRecord(
            agent, stack.commit, stack.commit, self._choice.method, layers, root, boot_id(), (), trunk_history, caches
        )
        head = self._layers.head_files(stack.commit, trunk_history=trunk_history)
        try:
            write_head(copy.changed, head)
            if copy.stamps is not None:
                write_stamps(copy.folder, copy.stamps)
            write_record(copy.folder, record)
        except OSError as error:
            raise no_room(error) from error
        return record

    def _read_kept(self, folder: Path, unfinished: Collection[AgentId]) -> _KeptCopy | None:
        """The copy in a folder, if its agent is unfinished and everything is as it was left. Slow: call in a thread."""
        ended = kill_recorded(folder / "pid")
        record = read_record(folder)
        if not ended or record is None or record.agent not in unfinished:
            return None
        if record.method is not self._choice.method or record.root != os.fsencode(
            self._choice.containment.root(folder)
        ):
            return None
        try:
            copy = read_copy(folder, record)
            for commit in (record.commit, record.base):
                self._pending.tree_of(commit)
        except (OSError, KeyError, ValueError, MsgspecError) as error:
            log.warning("the workspace of %s cannot be continued: %s", record.agent, error)
            return None
        layers = tuple(Path(os.fsdecode(layer)) for layer in (*record.caches, *record.layers))
        return _KeptCopy(copy, record, self._layers.adopt(record.commit, layers))

    async def set_up(self, commit: CommitId) -> Output | None:
        """See protocols.Workspaces. Raises SwarmError (git, state), WorkspaceLost."""
        if not self.setup or self._layers.set_up_at == commit:
            return None
        self._layers.release(await self._layers.use(commit))  # so that shared layers are older than what setup makes
        workspace = await self.open(SETUP_AGENT, commit, clean=True)
        try:
            output = await workspace.run(self.setup, self._setup_timeout_s, lambda text: None)
            if output.exit == 0:
                stopped = await workspace.stop()
                made = await asyncio.to_thread(self._made, workspace, home=stopped)
                if not stopped:  # something may still write to its files
                    made = replace(made, upper=workspace.copy.folder / "made")
                    await asyncio.to_thread(copy_tree, workspace.copy.changed, made.upper, self._choice.method)
                await self._layers.keep_setup(workspace.stack, made)
            return output
        except (WorkspaceError, OSError, RecursionError, subprocess.CalledProcessError) as error:
            reason = f"what the setup command made cannot be kept: {error}"
            raise SwarmError(ErrorKind.STATE, reason, "check the free disk space of the state folder") from error
        finally:
            await workspace.close()

    @property
    def has_builds(self) -> bool:
        return self._layers.has_builds

    async def keep_builds(self, workspace: Workspace) -> bool:
        own = next((each for each in self._open if each is workspace), None)
        if own is None:  # the run is ending and has closed it already
            return self._layers.has_builds
        try:
            if self.warm and await own.stop():
                made = await asyncio.to_thread(self._made, own, self._build_names)
                await self._layers.keep_builds(own.stack, made, self._build_limit)
        except (WorkspaceError, OSError) as error:
            log.warning("cannot read what the check has built: %s", error)
            await self._layers.discard_builds()
        finally:
            await own.close()
        return self._layers.has_builds

    def _made(self, own: AgentWorkspace, names: re.Pattern[str] = _ANY, *, home: bool = True) -> Made:
        """What a stopped workspace leaves for later ones. Slow: call in a thread. Raises WorkspaceError."""
        ignored = [path for path in own.ignored() if any(names.match(name) for name in path.split("/"))]
        upper = own.copy.folder / "home" if home and own.copy.mount.home is not None else None
        return Made(own.copy.changed, ignored, upper, self._caches, own.opened_ns)

    async def discard_builds(self) -> None:
        await self._layers.discard_builds()

    def _folder_for(self, agent: AgentId) -> Path:
        """The folder of a new copy. An agent gets the same one each time: without namespaces it can see the path."""
        name = first = f"{_safe_name(agent)}-{os.getpid()}"
        for number in count(2):
            if name not in self._names:
                break
            name = f"{first}-{number}"
        self._names.add(name)
        return self._folder / "copies" / name

    def _discard(self, folder: Path) -> None:
        self._trash.discard(folder)
        self._names.discard(folder.name)

    def sandboxes(self) -> dict[AgentId, int]:
        """The top process of each agent's newest sandbox."""
        return {agent: pid for agent, workspace in self._by_agent.items() if (pid := workspace.sandbox_pid) is not None}

    def limits_met(self) -> tuple[str, ...]:
        """The limits on all commands or workspaces together that were reached since the last call."""
        return self._choice.containment.shared_limits.met()

    @property
    def cpu(self) -> CpuShare:
        """How much of their time commands had no CPU, for all commands so far."""
        return self._choice.containment.shared_limits.cpu

    async def _copy(self, folder: Path, stack: LayerStack, clean: bool) -> Copy:
        """Restore a spare copy if there is one; otherwise, or if the copy has to be `clean`, make a new one."""
        if self._spares and not clean:
            spare, former = self._spares.pop()
            try:
                return await asyncio.to_thread(make_copy, self._choice.method, folder, stack, spare)
            except SwarmError:  # it cannot be restored
                self._trash.discard(folder)
                self._trash.discard(spare.files)
            finally:
                self._layers.release(former)
        return await asyncio.to_thread(make_copy, self._choice.method, folder, stack)

    def _on_close(self, workspace: AgentWorkspace, how: Ended) -> None:
        """Keep a closed copy as a spare, or discard it. A spare keeps its layers in use to recognise its files."""
        copy = workspace.copy
        self._open.discard(workspace)
        for agent in [agent for agent, other in self._by_agent.items() if other is workspace]:
            del self._by_agent[agent]
        if how is Ended.LEFT:
            return
        reusable = (
            how is Ended.STOPPED and workspace.stack.shared and not self._closed and len(self._spares) < MAX_SPARES
        )
        if reusable and copy.stamps is not None:
            files = self._folder / "spare" / f"{copy.folder.name}-{next(self._numbers)}"
            copy.changed.rename(files)
            self._spares.append((SpareCopy(files, copy.stamps, copy.sources), workspace.stack))
        else:
            self._layers.release(workspace.stack)
        self._discard(copy.folder)
        if self._cleaning is None or self._cleaning.done():
            self._cleaning = asyncio.create_task(self._clean())

    async def _clean(self) -> None:
        removed = self._choice.containment.disk.unseen.release()
        await asyncio.to_thread(self._trash.empty)
        removed()

    def discard_spares(self) -> None:
        """Discard all spare copies."""
        while self._spares:
            spare, stack = self._spares.pop()
            self._trash.discard(spare.files)
            self._layers.release(stack)

    async def sweep(self, unfinished: Collection[AgentId]) -> None:
        """See protocols.Workspaces. Kills sandboxes that an earlier process recorded, if their start time matches."""
        in_use = {workspace.copy.folder for workspace in self._open}
        for folder in _entries(self._folder / "copies"):
            if folder in in_use:
                continue
            kept = await asyncio.to_thread(self._read_kept, folder, unfinished)
            if kept is None or kept.record.agent in self._kept:
                self._trash.discard(folder)
            else:
                self._kept[kept.record.agent] = kept
                self._names.add(folder.name)
        for folder in _entries(self._folder / "spare"):
            self._trash.discard(folder)
        self._layers.sweep()
        await asyncio.to_thread(self._trash.empty)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(workspace.leave() for workspace in list(self._open)))
        await self._pending.builder.close()
        await asyncio.to_thread(self._choice.containment.close)
        if self._preparing is not None:
            await self._preparing
        self.discard_spares()
        await self._layers.close()
        self._trash.hurry()
        if self._cleaning is not None:
            await self._cleaning
        await asyncio.to_thread(self._trash.empty)


async def open_workspaces(
    folder: Path,
    trunk_git: Path,
    settings: SandboxSettings,
    base: CommitId,
    pending: PendingChanges | None = None,
    build: BuildSettings | None = None,
) -> WorkspacePool:
    """Open the pool of the run that started from `base`. `folder` belongs to that run and is created if missing.

    Finished changes go to `pending`; without it, they are written into the trunk's repository at once. `build` says
    which builds of a check later workspaces start with.

    Raises SwarmError: like `choose` (sandbox, settings), state when the folder is not writable, git, and repo when the
    repository's object format is not supported.
    """
    folder, trunk_git = _real(folder), _real(trunk_git)
    await _require_sha1(trunk_git)
    excludes = await read_excludes(trunk_git)
    try:
        for name in ("copies", "spare", "layers"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        trash = Trash(folder / "trash")
    except OSError as error:
        raise SwarmError(
            ErrorKind.STATE, f"cannot write to the workspaces' folder: {error}", "choose another one with --state-dir"
        ) from error
    choice = await choose(folder, trunk_git / "objects", settings)
    layers = LayerStore(
        folder, trunk_git, choice.containment.objects, base, excludes, await read_conversion(trunk_git), trash
    )
    pending = pending or PendingChanges(trunk_git, in_memory=False)
    return WorkspacePool(folder, trunk_git, choice, layers, trash, pending, build or BuildSettings())


async def _require_sha1(trunk_git: Path) -> None:
    """pygit2 reads only SHA-1 repositories."""
    found = await Git(trunk_git, git_dir=trunk_git).text("rev-parse", "--show-object-format")
    if found != "sha1":
        hint = "convert a copy of it to SHA-1: git init, then git fast-export --all | git fast-import"
        raise SwarmError(ErrorKind.REPO, f"unsupported object format of the repo: {found}", hint)


def _real(path: Path) -> Path:
    """The path without symlinks, because a sandbox mounts it at the same path."""
    return path.resolve()


def _safe_name(agent: str) -> str:
    return "".join(char if char.isalnum() or char in "-_" else "_" for char in agent)[:64]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []

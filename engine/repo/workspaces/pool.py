"""Makes agents' copies for one run, and removes what they and earlier epochs left."""

import asyncio
import logging
import os
from itertools import count
from pathlib import Path

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.domain.units import size_bytes
from engine.ports.protocols import Workspace, WorkspaceError
from engine.repo.changes.pending import PendingChanges
from engine.repo.git.alternates import object_folders
from engine.repo.git.git import Git
from engine.repo.workspaces.copy_methods import Copy, Spare, make_copy
from engine.repo.workspaces.excludes import read_excludes
from engine.repo.workspaces.layers import Layer, Layers
from engine.repo.workspaces.trash import Trash
from engine.repo.workspaces.warm_builds import kept_names
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.sandbox.leftovers import kill_recorded
from engine.sandbox.levels import CopyMethod, SandboxReport
from engine.sandbox.probe import Choice, choose
from engine.sandbox.start_slots import StartSlots

STARTS = 2
"""Sandboxes that start at once, for each core."""
SPARES = 8
"""Full copies that are kept for the next agents. An overlay is made anew: that is quicker than to look through one."""

log = logging.getLogger("swarm")


class CopiedWorkspaces:
    """A protocols.Workspaces over one state folder. All methods are to be called from one event loop."""

    def __init__(
        self,
        folder: Path,
        trunk_git: Path,
        choice: Choice,
        layers: Layers,
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
        self._start_slots = StartSlots(STARTS * (os.cpu_count() or 1))
        self._of_agent: dict[AgentId, AgentWorkspace] = {}
        self._open: set[AgentWorkspace] = set()
        self._spares: list[tuple[Spare, Layer]] = []
        self._names: set[str] = set()
        """Of copies that are there, or about to be."""
        self._closed = False
        self._cleaning: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self.level = choice.report.level.value
        self.method = choice.report.method.value
        self.not_guaranteed = choice.report.not_guaranteed
        self.granted = choice.report.granted
        self._build_names = kept_names(build.warm)
        self._build_limit = size_bytes(build.warm_size)
        self.warm = bool(build.warm) and choice.method is CopyMethod.OVERLAY

    @property
    def report(self) -> SandboxReport:
        return self._choice.report

    def prepare(self, commit: CommitId) -> None:
        """Begin to make what copies at `commit` stand on, so that the first of them need not wait for all of it."""
        self._preparing = asyncio.create_task(self._prepare(commit))

    async def _prepare(self, commit: CommitId) -> None:
        try:
            self._layers.release(await self._layers.use(commit))
        except SwarmError:
            pass  # who opens a copy will be told

    async def open(self, agent: AgentId, commit: CommitId, *, clean: bool = False) -> AgentWorkspace:
        """Only folders are made here where copies are overlays; the sandbox is up a little later.

        Raises SwarmError (git, state).
        """
        if self._closed:
            raise SwarmError(ErrorKind.STATE, "the workspaces are closed", "start the run again")
        layer = await self._layers.use(commit, clean=clean)
        folder = self._folder_for(agent)
        try:
            copy = await self._copy(folder, layer)
        except BaseException:
            self._layers.release(layer)
            self._throw(folder)
            raise
        workspace = AgentWorkspace(
            copy,
            layer,
            self._layers,
            self._choice.containment,
            self._trunk_git,
            self._pending,
            self._start_slots,
            self._gone,
        )
        self._open.add(workspace)
        self._of_agent[agent] = workspace
        workspace.start()
        return workspace

    async def keep_builds(self, workspace: Workspace) -> None:
        own = next((each for each in self._open if each is workspace), None)
        if own is None:  # the run is ending, and closed it
            return
        try:
            if self.warm and await own.end():
                aside = await asyncio.to_thread(own.aside)
                await self._layers.keep_builds(own.layer, own.copy.changed, aside, self._build_names, self._build_limit)
        except (WorkspaceError, OSError) as error:
            log.warning("what the check has built cannot be looked through: %s", error)
        finally:
            await own.close()

    def _folder_for(self, agent: AgentId) -> Path:
        """The same for one copy of an agent after the other: without namespaces it shows, and the agent knows it."""
        name = first = f"{_plain(agent)}-{os.getpid()}"
        for number in count(2):
            if name not in self._names:
                break
            name = f"{first}-{number}"
        self._names.add(name)
        return self._folder / "copies" / name

    def _throw(self, folder: Path) -> None:
        self._trash.throw(folder)
        self._names.discard(folder.name)

    def sandboxes(self) -> dict[AgentId, int]:
        """The process at the top of each agent's newest sandbox."""
        return {agent: pid for agent, workspace in self._of_agent.items() if (pid := workspace.sandbox_pid) is not None}

    def limits_met(self) -> tuple[str, ...]:
        """The limits of all commands or copies together that were met since this was asked last."""
        return self._choice.containment.shared_limits.met()

    async def _copy(self, folder: Path, layer: Layer) -> Copy:
        """The last agent's brought up to date, where there is one; else a new one."""
        if self._spares:
            spare, former = self._spares.pop()
            try:
                return await asyncio.to_thread(make_copy, self._choice.method, folder, layer, spare)
            except SwarmError:  # it cannot be cleaned
                self._trash.throw(folder)
                self._trash.throw(spare.files)
            finally:
                self._layers.release(former)
        return await asyncio.to_thread(make_copy, self._choice.method, folder, layer)

    def _gone(self, workspace: AgentWorkspace, quiet: bool) -> None:
        """Keep or remove a closed copy. What it stood on stays with a spare one: it tells its files by theirs."""
        copy = workspace.copy
        if quiet and copy.stamps is not None and not self._closed and len(self._spares) < SPARES:
            files = self._folder / "spare" / copy.folder.name
            copy.changed.rename(files)
            self._spares.append((Spare(files, copy.stamps, copy.sources), workspace.layer))
        else:
            self._layers.release(workspace.layer)
        self._throw(copy.folder)
        self._open.discard(workspace)
        for agent in [agent for agent, other in self._of_agent.items() if other is workspace]:
            del self._of_agent[agent]
        if self._cleaning is None or self._cleaning.done():
            self._cleaning = asyncio.create_task(asyncio.to_thread(self._trash.empty))

    def forget_spares(self) -> None:
        """The next copies are made anew."""
        while self._spares:
            spare, layer = self._spares.pop()
            self._trash.throw(spare.files)
            self._layers.release(layer)

    async def sweep(self) -> None:
        """Also kills sandboxes whose start time proves that they are still the ones an earlier epoch recorded."""
        mine = {workspace.copy.folder for workspace in self._open}
        for folder in _entries(self._folder / "copies"):
            if folder not in mine:
                kill_recorded(folder / "pid")
                self._trash.throw(folder)
        for folder in _entries(self._folder / "spare"):
            self._trash.throw(folder)
        self._layers.sweep()
        await asyncio.to_thread(self._trash.empty)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(workspace.close() for workspace in list(self._open)))
        await self._pending.builder.close()
        await asyncio.to_thread(self._choice.containment.close)
        if self._preparing is not None:
            await self._preparing
        self.forget_spares()
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
) -> CopiedWorkspaces:
    """Workspaces in `folder` (made if missing, one run's own) for the run that started from `base`.

    `pending` take what is finished; without them it is written into the trunk's repo at once. `build` says what of a
    check's copy later copies begin with.

    Raises SwarmError: sandbox and settings as `choose` does, state when the folder cannot be written, git, repo when
    no copies can be made of it.
    """
    folder, trunk_git = _real(folder), _real(trunk_git)
    await _require_sha1(trunk_git)
    excludes = await read_excludes(trunk_git)
    try:
        for name in ("copies", "spare"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        trash = Trash(folder / "trash")
        layers = Layers(folder, trunk_git, base, excludes, trash)
    except OSError as error:
        raise SwarmError(
            ErrorKind.STATE, f"the workspaces' folder cannot be written: {error}", "choose another with --state-dir"
        ) from error
    choice = await choose(folder, tuple(map(str, object_folders(trunk_git / "objects"))), settings)
    pending = pending or PendingChanges(trunk_git, in_memory=False)
    return CopiedWorkspaces(folder, trunk_git, choice, layers, trash, pending, build or BuildSettings())


async def _require_sha1(trunk_git: Path) -> None:
    """The library that reads objects here knows no others."""
    found = await Git(trunk_git, git_dir=trunk_git).text("rev-parse", "--show-object-format")
    if found != "sha1":
        hint = "a copy of the project with ids of SHA-1: git init, and git fast-export --all | git fast-import"
        raise SwarmError(ErrorKind.REPO, f"agents' copies cannot be made of a repo with ids of {found} yet", hint)


def _real(path: Path) -> Path:
    """As the kernel names it: mounts inside a sandbox go to the same name."""
    return path.resolve()


def _plain(agent: str) -> str:
    return "".join(char if char.isalnum() or char in "-_" else "_" for char in agent)[:64]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []

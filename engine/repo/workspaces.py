"""Makes agents' copies for one run, and removes what they and earlier epochs left."""

import asyncio
import os
from pathlib import Path

import pygit2

from engine.errors import ErrorKind, SwarmError
from engine.repo.alternates import all_objects, write_alternates
from engine.repo.copies import make_copy
from engine.repo.excludes import read_excludes
from engine.repo.layers import Layers
from engine.repo.offers import Offers
from engine.repo.workspace import AgentWorkspace
from engine.sandbox.leftovers import kill_recorded
from engine.sandbox.levels import SandboxReport
from engine.sandbox.probe import Choice, choose
from engine.settings import SandboxSettings
from engine.types import AgentId, CommitId


class CopiedWorkspaces:
    """A protocols.Workspaces over one state folder. All methods are to be called from one event loop."""

    def __init__(self, folder: Path, trunk_git: Path, choice: Choice, layers: Layers, offers: Offers) -> None:
        self._folder = folder
        self._trunk_git = trunk_git
        self._choice = choice
        self._layers = layers
        self._offers = offers
        self._open: set[AgentWorkspace] = set()
        self._count = 0
        self._closed = False
        self._cleaning: asyncio.Task[None] | None = None
        self.level = choice.report.level.value
        self.method = choice.report.method.value

    @property
    def report(self) -> SandboxReport:
        return self._choice.report

    async def open(self, agent: AgentId, commit: CommitId) -> AgentWorkspace:
        """Only folders are made here where copies are overlays; the sandbox starts with the first operation.

        Raises SwarmError (git, state).
        """
        if self._closed:
            raise SwarmError(ErrorKind.STATE, "the workspaces are closed", "start the run again")
        self._count += 1
        folder = self._folder / "copies" / f"{_plain(agent)}-{os.getpid()}-{self._count}"
        layer = await self._layers.use(commit)
        try:
            copy = await asyncio.to_thread(make_copy, self._choice.method, folder, layer)
        except BaseException:
            self._layers.release(layer)
            self._layers.discard(folder)
            raise
        workspace = AgentWorkspace(
            copy,
            layer,
            self._layers,
            self._choice.containment,
            self._trunk_git,
            self._scratch,
            self._offers,
            self._gone,
        )
        self._open.add(workspace)
        return workspace

    @property
    def _scratch(self) -> Path:
        return self._folder / "scratch.git"

    def _gone(self, workspace: AgentWorkspace) -> None:
        self._open.discard(workspace)
        if self._cleaning is None or self._cleaning.done():
            self._cleaning = asyncio.create_task(asyncio.to_thread(self._layers.empty_trash))

    async def sweep(self) -> None:
        """Also kills sandboxes whose start time proves that they are still the ones an earlier epoch recorded."""
        mine = {workspace.copy.folder for workspace in self._open}
        for folder in _entries(self._folder / "copies"):
            if folder not in mine:
                kill_recorded(folder / "pid")
                self._layers.discard(folder)
        self._layers.sweep()
        await asyncio.to_thread(self._layers.empty_trash)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(workspace.close() for workspace in list(self._open)))
        await asyncio.to_thread(self._choice.containment.close)
        if self._cleaning is not None:
            await self._cleaning
        self._layers.discard(self._scratch)
        await asyncio.to_thread(self._layers.empty_trash)


async def open_workspaces(
    folder: Path, trunk_git: Path, settings: SandboxSettings, base: CommitId, offers: Offers | None = None
) -> CopiedWorkspaces:
    """Workspaces in `folder` (made if missing, one run's own) for the run that started from `base`.

    `offers` take what is finished; without them it is written into the trunk's repo at once.

    Raises SwarmError: sandbox and settings as `choose` does, state when the folder cannot be written, git.
    """
    folder, trunk_git = _real(folder), _real(trunk_git)
    excludes = await read_excludes(trunk_git)
    try:
        (folder / "copies").mkdir(parents=True, exist_ok=True)
        layers = Layers(folder, trunk_git, base, excludes)
        _make_scratch(folder / "scratch.git", trunk_git)
    except OSError as error:
        raise SwarmError(
            ErrorKind.STATE, f"the workspaces' folder cannot be written: {error}", "choose another with --state-dir"
        ) from error
    choice = await choose(folder, tuple(map(str, all_objects(trunk_git / "objects"))), settings)
    return CopiedWorkspaces(folder, trunk_git, choice, layers, offers or Offers(trunk_git, keep=False))


def _real(path: Path) -> Path:
    """As the kernel names it: mounts inside a sandbox go to the same name."""
    return path.resolve()


def _make_scratch(scratch: Path, trunk_git: Path) -> None:
    """A place for the objects of what was only looked at, so that they never swell the trunk's."""
    pygit2.init_repository(str(scratch), bare=True)
    write_alternates(scratch, all_objects(trunk_git / "objects"))


def _plain(agent: str) -> str:
    return "".join(char if char.isalnum() or char in "-_" else "_" for char in agent)[:64]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []

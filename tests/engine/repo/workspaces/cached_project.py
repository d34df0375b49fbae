"""A repository whose workspaces start with the caches that checks have left."""

from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.engine.repo.small_repo import SmallRepo
from tests.git import make_trunk


class Project(SmallRepo):
    """A repository, a trunk that borrows from it, and workspaces with caches."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write(".gitignore", "build/\n")
        self.write("code.py", "def answer():\n    return 41\n")
        self.base = self.commit()
        make_trunk(folder / "source", folder / "trunk.git")
        self.workspaces: WorkspacePool
        self.opened = 0

    async def start(self, build: BuildSettings, disk: str = "8GiB") -> None:
        """Skips the test where overlays cannot be mounted."""
        settings = SandboxSettings(copies="overlay", disk=disk)
        try:
            self.workspaces = await open_workspaces(
                self.folder / "workspaces", self.folder / "trunk.git", settings, self.base, build=build
            )
        except SwarmError as error:
            pytest.skip(error.message)

    async def open(self, commit: CommitId, *, clean: bool = False) -> AgentWorkspace:
        self.opened += 1
        return await self.workspaces.open(AgentId(f"agent-{self.opened}"), commit, clean=clean)

    async def check(self, commit: CommitId, command: str, *, clean: bool = False) -> str:
        """Run the check as the engine does. Returns its output."""
        workspace = await self.open(commit, clean=clean)
        said = await shell(workspace, command)
        await self.workspaces.keep_builds(workspace)
        return said

    async def seen(self, commit: CommitId, command: str, *, clean: bool = False) -> str:
        """The output of a command in a new workspace."""
        workspace = await self.open(commit, clean=clean)
        said = await shell(workspace, command)
        await workspace.close()
        return said

    def layers(self) -> int:
        return len(list((self.folder / "workspaces" / "layers").iterdir()))

    async def restart(self, build: BuildSettings) -> None:
        await self.workspaces.close()
        await self.start(build)


async def shell(workspace: AgentWorkspace, command: str) -> str:
    return (await workspace.run(command, 60, lambda _: None)).text

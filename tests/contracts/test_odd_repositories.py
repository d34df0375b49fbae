"""Workspaces of unusual repositories, with every copy method and sandbox level that this machine supports."""

from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, RunId
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from tests.contracts.test_workspaces import KINDS
from tests.engine.repo.user_repo import UserRepo

AGENT = AgentId("agent-1")


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxSettings:
    level, method = request.param
    return SandboxSettings(level=level, copies=method, memory="512MiB", output="1MiB")


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    """A repository with four commits."""
    made = UserRepo.make(tmp_path / "repo", {"a.txt": b"1\n"})
    for number in (2, 3, 4):
        made.commit({"a.txt": b"%d\n" % number}, f"commit {number}")
    return made


async def start(folder: Path, repo: Path, settings: SandboxSettings) -> tuple[GitTrunk, WorkspacePool]:
    """The trunk and the workspaces of a run on a repository."""
    (folder / "run").mkdir()
    trunk = await GitTrunk.create(folder / "run", await inspect_repo(repo), RunId("r-1"))
    return trunk, await resume(folder, trunk, settings)


async def resume(folder: Path, trunk: GitTrunk, settings: SandboxSettings) -> WorkspacePool:
    try:
        return await open_workspaces(folder / "workspaces", trunk.git_dir, settings, trunk.base, trunk.pending)
    except SwarmError as error:
        pytest.skip(error.message)


def shallow_clone(repo: UserRepo, folder: Path, depth: int) -> UserRepo:
    repo.git("clone", "-q", f"--depth={depth}", f"file://{repo.root}", str(folder))
    return UserRepo(folder)


async def shell(workspaces: WorkspacePool, trunk: GitTrunk, command: str, *, clean: bool = False) -> str:
    workspace = await workspaces.open(AGENT, await trunk.tip(), clean=clean)
    output = await workspace.run(command, 30, lambda _: None)
    assert output.exit == 0, output.text
    await workspace.close()
    return output.text


HISTORY = "git log --format=%s && git rev-list --count HEAD && git blame -s a.txt && git fsck --connectivity-only"


@pytest.mark.parametrize("depth", [1, 3])
async def test_git_reads_the_history_of_a_shallow_clone_in_copies_and_checks(
    depth: int, repo: UserRepo, tmp_path: Path, settings: SandboxSettings
) -> None:
    clone = shallow_clone(repo, tmp_path / "shallow", depth)
    trunk, workspaces = await start(tmp_path, clone.root, settings)
    for clean in (False, True):
        assert f"\n{depth + 1}\n" in await shell(workspaces, trunk, HISTORY, clean=clean)
    workspace = await workspaces.open(AGENT, await trunk.tip())
    await workspace.write_file("b.txt", b"b\n")
    landed = await trunk.land(await workspace.commit("b\n"), "b\n")
    assert landed.commit
    assert "commit 4" in await shell(workspaces, trunk, HISTORY)
    await workspaces.close()


async def test_a_later_process_reads_the_history_of_a_shallow_clone_that_was_unshallowed_meanwhile(
    repo: UserRepo, tmp_path: Path, settings: SandboxSettings
) -> None:
    clone = shallow_clone(repo, tmp_path / "shallow", 1)
    trunk, workspaces = await start(tmp_path, clone.root, settings)
    await workspaces.close()
    clone.git("fetch", "-q", "--unshallow")
    trunk = await GitTrunk.open(tmp_path / "run")
    workspaces = await resume(tmp_path, trunk, settings)
    assert "\n2\n" in await shell(workspaces, trunk, HISTORY)
    workspace = await workspaces.open(AGENT, await trunk.tip())
    await workspace.write_file("b.txt", b"b\n")
    await trunk.land(await workspace.commit("b\n"), "b\n")
    assert await trunk.publish() == ""
    clone.git("merge", "-q", "swarm/r-1/trunk")
    assert clone.git("rev-list", "--count", "HEAD") == "5"
    assert clone.git("fsck", "--no-dangling") == ""
    await workspaces.close()

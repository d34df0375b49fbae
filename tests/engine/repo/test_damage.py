"""Repositories with missing or damaged objects: every error says so, and that `git fsck` names them."""

import os
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, RunId
from engine.repo.check import suggest_check
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces.pool import open_workspaces
from tests.engine.repo.user_repo import UserRepo

OBJECTS = ["HEAD", "HEAD^{tree}", "HEAD:d", "HEAD:a.txt", "HEAD~1", "HEAD~1:a.txt"]


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    made = UserRepo.make(tmp_path / "repo", {"a.txt": b"1\n", "d/b.txt": b"b\n"})
    made.commit({"a.txt": b"2\n"})
    return made


def damage(git_dir: Path, oid: str, how: str) -> None:
    file = git_dir / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(b"" if how == "empty" else b"x" * 40)


def says_fsck(error: SwarmError) -> None:
    assert "git" in error.hint
    assert "fsck" in error.hint
    assert "disk" not in error.hint
    assert "no commits" not in error.message


@pytest.mark.parametrize("how", ["missing", "empty", "corrupt"])
@pytest.mark.parametrize("what", OBJECTS)
@pytest.mark.parametrize("branch", ["", "main"])
async def test_a_run_does_not_start_from_a_damaged_repo(
    what: str, how: str, branch: str, repo: UserRepo, tmp_path: Path
) -> None:
    damage(repo.root / ".git", repo.git("rev-parse", what), how)
    os.mkdir(tmp_path / "run")
    try:
        source = await inspect_repo(repo.root, branch)
        await suggest_check(source)
        await GitTrunk.create(tmp_path / "run", source, RunId("r-1"))
    except SwarmError as error:
        says_fsck(error)
    else:
        pytest.fail("no error")


@pytest.mark.parametrize("what", ["HEAD", "HEAD^{tree}", "HEAD:d", "HEAD:a.txt", "HEAD:d/b.txt"])
async def test_a_damaged_trunk_says_so_where_it_is_met_first(what: str, repo: UserRepo, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    os.mkdir(folder)
    trunk = await GitTrunk.create(folder, await inspect_repo(repo.root), RunId("r-1"))
    for pack in (trunk.git_dir / "objects" / "pack").iterdir():
        pack.unlink()
    for objects in (repo.root / ".git" / "objects").glob("[0-9a-f][0-9a-f]"):
        objects.rename(trunk.git_dir / "objects" / objects.name)
    damage(trunk.git_dir, UserRepo(trunk.git_dir).git("rev-parse", what.replace("HEAD", trunk.base)), "missing")
    with pytest.raises(SwarmError) as raised:
        await use(folder)
    says_fsck(raised.value)


async def use(folder: Path) -> None:
    trunk = await GitTrunk.open(folder)
    settings = SandboxSettings(level="off", copies="checkout")
    pool = await open_workspaces(folder / "copies", trunk.git_dir, settings, trunk.base, trunk.pending)
    try:
        await pool.open(AgentId("a"), trunk.base)
    finally:
        await pool.close()

"""Trunks of repositories that lack a part of their history: shallow and partial clones, grafts, work trees of them."""

import os
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.types import RunId
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import build_change
from tests.engine.repo.user_repo import UserRepo


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    """A repository with four commits, from which partial clones can be made."""
    made = UserRepo.make(tmp_path / "repo", {"a.txt": b"1\n", "d/b.txt": b"b\n"})
    made.git("config", "uploadpack.allowFilter", "true")
    for number in (2, 3, 4):
        made.commit({"a.txt": b"%d\n" % number}, f"commit {number}")
    return made


def clone_of(repo: UserRepo, folder: Path, *options: str) -> UserRepo:
    repo.git("clone", "-q", *options, f"file://{repo.root}", str(folder))
    return UserRepo(folder)


async def trunk_of(repo: UserRepo, folder: Path) -> GitTrunk:
    os.mkdir(folder)
    return await GitTrunk.create(folder, await inspect_repo(repo.root), RunId("r-1"))


async def land_and_merge(repo: UserRepo, folder: Path) -> UserRepo:
    """Land two changes, publish them and merge them into the user's branch. Returns the trunk's repository."""
    trunk = await trunk_of(repo, folder)
    await trunk.land(build_change(trunk, {"new.txt": b"new\n"}), "new\n")
    await trunk.land(build_change(trunk, {"a.txt": b"changed\n"}), "changed\n")
    assert await trunk.publish() == ""
    repo.git("merge", "-q", "--ff-only", "swarm/r-1/trunk")
    assert (repo.root / "a.txt").read_bytes() == b"changed\n"
    repo.git("fsck", "--connectivity-only")
    made = UserRepo(trunk.git_dir)
    made.git("fsck", "--no-dangling")
    return made


async def test_a_partial_clone_without_old_files_gives_a_history_that_starts_at_the_base(
    repo: UserRepo, tmp_path: Path
) -> None:
    clone = clone_of(repo, tmp_path / "partial", "--filter=blob:none")
    trunk = await land_and_merge(clone, tmp_path / "run")
    assert trunk.git("rev-list", "--count", "trunk") == "3"
    assert clone.git("rev-list", "--count", "HEAD") == "6"


@pytest.mark.parametrize("kind", ["blob:none", "tree:0", "blob:limit=1"])
async def test_a_partial_clone_that_lacks_files_of_the_base_says_how_to_fetch_them(
    kind: str, repo: UserRepo, tmp_path: Path
) -> None:
    clone = clone_of(repo, tmp_path / "partial", f"--filter={kind}", "--sparse")
    with pytest.raises(SwarmError) as refused:
        await trunk_of(clone, tmp_path / "first")
    assert "cannot copy the objects" in refused.value.message
    assert "git fetch --refetch --no-filter" in refused.value.hint
    clone.git("fetch", "-q", "--refetch", "--no-filter")
    trunk = await land_and_merge(clone, tmp_path / "run")
    assert trunk.git("rev-list", "--count", "trunk") == "6"


async def test_a_work_tree_of_a_shallow_clone_lands_and_publishes(repo: UserRepo, tmp_path: Path) -> None:
    clone = clone_of(repo, tmp_path / "shallow", "--depth=2")
    clone.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    trunk = await land_and_merge(UserRepo(tmp_path / "linked"), tmp_path / "run")
    assert trunk.git("rev-list", "--count", "trunk") == "4"


async def test_a_sparse_checkout_gives_agents_every_file(repo: UserRepo, tmp_path: Path) -> None:
    clone = clone_of(repo, tmp_path / "sparse", "--depth=1", "--sparse")
    clone.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
    assert (await inspect_repo(clone.root)).warnings == ()
    trunk = await land_and_merge(clone, tmp_path / "run")
    assert "d/b.txt" in trunk.git("ls-tree", "-r", "--name-only", "trunk")
    assert not (clone.root / "d").exists()


async def test_a_history_that_a_graft_cuts_off_starts_there(repo: UserRepo, tmp_path: Path) -> None:
    clone = clone_of(repo, tmp_path / "shallow", "--depth=2")
    (clone.root / ".git" / "shallow").rename(clone.root / ".git" / "info" / "grafts")
    trunk = await land_and_merge(clone, tmp_path / "run")
    assert trunk.git("rev-list", "--count", "trunk") == "4"


async def test_replaced_commits_are_as_stored_for_agents_and_stay_replaced_for_the_user(
    repo: UserRepo, tmp_path: Path
) -> None:
    repo.git("replace", "--graft", "HEAD~1")
    trunk = await land_and_merge(repo, tmp_path / "run")
    assert trunk.git("rev-list", "--count", "trunk") == "6"
    assert repo.git("rev-list", "--count", "HEAD") == "4"


async def test_a_clone_that_is_made_shallower_meanwhile_gets_what_its_border_allows(
    repo: UserRepo, tmp_path: Path
) -> None:
    clone = clone_of(repo, tmp_path / "shallow", "--depth=3")
    trunk = await trunk_of(clone, tmp_path / "run")
    assert await trunk.publish() == ""
    repo.commit({"later.txt": b"later\n"})
    clone.git("fetch", "-q", "--depth=1", "origin", "main")
    clone.git("reset", "-q", "--hard", "FETCH_HEAD")
    await trunk.land(build_change(trunk, {"new.txt": b"new\n"}), "new\n")
    assert await trunk.publish() == ""
    clone.git("fsck", "--connectivity-only")
    assert clone.git("rev-list", "--count", "swarm/r-1/trunk")


async def test_no_branch_is_published_whose_first_commits_the_clone_has_lost(repo: UserRepo, tmp_path: Path) -> None:
    clone = clone_of(repo, tmp_path / "shallow", "--depth=3")
    trunk = await trunk_of(clone, tmp_path / "run")
    repo.commit({"later.txt": b"later\n"})
    clone.git("fetch", "-q", "--depth=1", "origin", "main")
    clone.git("reset", "-q", "--hard", "FETCH_HEAD")
    clone.git("remote", "set-head", "origin", "--delete")
    clone.git("update-ref", "-d", "refs/remotes/origin/main")
    clone.git("reflog", "expire", "--expire=now", "--all")
    clone.git("gc", "-q", "--prune=now")
    await trunk.land(build_change(trunk, {"new.txt": b"new\n"}), "new\n")
    assert "git fetch --unshallow" in await trunk.publish()
    assert clone.git("fsck", "--no-dangling") == ""
    clone.git("fetch", "-q", "--unshallow")
    assert await trunk.publish() == ""
    assert clone.git("rev-list", "--count", "swarm/r-1/trunk") == "5"

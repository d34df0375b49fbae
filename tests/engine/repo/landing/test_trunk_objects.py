"""Trunk owns its objects, and what agents can read has nothing but the base and what landed."""

import os
from pathlib import Path

import pytest

from engine.domain.commit_message import commit_message
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId, LandingState, RunId
from engine.repo.changes.commit_builder import MAX_IN_MEMORY
from engine.repo.git.alternates import object_folders, write_alternates
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import FILES, build_change
from tests.engine.repo.user_repo import UserRepo

SECRET = b"key-of-a-deleted-branch\n"


def message(task: str) -> str:
    return commit_message(f"do {task}", "", {"Swarm-Task": task})


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    """A repository with a secret in a deleted file of a deleted branch, and work that was never committed."""
    repo = UserRepo.make(tmp_path / "repo", {**FILES, "old": b"old\n"})
    repo.commit({"old": None}, "second")
    repo.git("checkout", "-q", "-b", "private")
    repo.commit({".env": SECRET}, "add a key")
    repo.commit({".env": None}, "remove it")
    repo.git("checkout", "-q", "main")
    repo.git("branch", "-q", "-D", "private")
    (repo.root / "staged").write_bytes(b"never committed\n")
    repo.git("add", "staged")
    repo.git("rm", "-q", "--cached", "staged")
    return repo


async def make_trunk(repo: UserRepo, runs: Path, run: str = "r-1") -> GitTrunk:
    (runs / run).mkdir(parents=True)
    return await GitTrunk.create(runs / run, await inspect_repo(repo.root), RunId(run))


@pytest.fixture
async def trunk(repo: UserRepo, tmp_path: Path) -> GitTrunk:
    return await make_trunk(repo, tmp_path / "runs")


def readable(trunk_git: Path) -> set[str]:
    """All objects that an agent can list."""
    listed = UserRepo(trunk_git).git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(listed.split())


def reached(trunk_git: Path) -> set[str]:
    return set(UserRepo(trunk_git).git("rev-list", "--objects", "--no-object-names", "--all").split())


def lose_everything_unreached(repo: UserRepo) -> None:
    """What a person may do while a run is stopped: amend, delete branches, expire reflogs, prune."""
    for branch in repo.git("for-each-ref", "--format=%(refname)", "refs/heads/swarm").split():
        repo.git("update-ref", "-d", branch)
    repo.git("commit", "-q", "--amend", "--allow-empty", "-m", "amended")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")


async def test_agents_can_list_exactly_what_the_base_and_trunk_reach(repo: UserRepo, trunk: GitTrunk) -> None:
    assert readable(trunk.git_dir) == set(repo.git("rev-list", "--objects", "--no-object-names", "main").split())
    assert not list(trunk.git_dir.glob("objects/info/alternates"))
    large = os.urandom(MAX_IN_MEMORY + 1)
    landing = {
        "t-1": build_change(trunk, {"a.txt": b"one\n2\n3\n4\n5\n6\n7\n8\n9\n"}),
        "t-2": build_change(trunk, {"large": large}),
        "t-3": build_change(
            trunk, {"d/x.txt": None, "d/renamed.txt": b"x\n", "a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\nnine\n"}
        ),
    }
    build_change(trunk, {"pending": b"never handed off\n"})
    build_change(trunk, {"pending-large": os.urandom(MAX_IN_MEMORY + 1)})
    for task, made in landing.items():
        assert (await trunk.land(made, message(task))).state is LandingState.MERGED
    for files in ({"a.txt": b"conflict\n"}, {"a.txt": None, "moved": b"1\n2\n3\n4\n5\n6\n7\n8\n10\n"}):
        result = await trunk.land(build_change(trunk, files), message("t-4"))
        assert result.state is LandingState.CONFLICTED
        assert result.merged
        assert await trunk.read_file(result.merged, "z") == b"z\n"
    assert readable(trunk.git_dir) == reached(trunk.git_dir)
    assert UserRepo(trunk.git_dir).git("fsck", "--connectivity-only") == ""


async def test_nothing_is_lost_when_the_user_amends_the_base_and_prunes(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    await trunk.publish()
    landed = await trunk.land(build_change(trunk, {"new": b"landed\n"}), message("t-1"))
    assert landed.commit
    await trunk.move_green(landed.commit)
    await trunk.publish()
    lose_everything_unreached(repo)
    assert repo.status("cat-file", "-e", landed.commit) != 0
    again = await GitTrunk.open(tmp_path / "runs" / "r-1")
    assert await again.tip() == await again.green() == landed.commit
    assert await again.read_file(trunk.base, "a.txt") == FILES["a.txt"]
    assert (await again.land(build_change(again, {"more": b"m\n"}), message("t-2"))).state is LandingState.MERGED
    assert await again.publish() == ""
    assert repo.git("rev-parse", "swarm/r-1/trunk") == await again.tip()
    assert repo.git("show", "swarm/r-1/green:new") == "landed"
    assert repo.git("fsck", "--connectivity-only", "--no-dangling", "swarm/r-1/trunk", "swarm/r-1/green") == ""


async def make_borrower(repo: UserRepo, runs: Path) -> tuple[Path, CommitId]:
    """A run of an earlier version: its trunk borrows from the user's repository. Returns it and what landed."""
    trunk = await make_trunk(repo, runs)
    landed = await trunk.land(build_change(trunk, {"new": b"landed\n"}), message("t-1"))
    assert landed.commit
    for kept in list(trunk.git_dir.glob("objects/pack/*.keep")):
        for file in trunk.git_dir.glob(f"objects/pack/{kept.stem}.*"):
            file.unlink()
    for name in ("pack", "info"):
        for file in trunk.git_dir.glob(f"unlanded/{name}/*"):
            file.unlink()
        (trunk.git_dir / "unlanded" / name).rmdir()
    (trunk.git_dir / "unlanded").rmdir()
    UserRepo(trunk.git_dir).git("config", "--unset", "swarm.common")
    write_alternates(trunk.git_dir, object_folders(repo.root / ".git" / "objects"))
    UserRepo(trunk.git_dir).git("hash-object", "-w", "config")
    return trunk.git_dir, landed.commit


async def test_a_run_of_an_earlier_version_gets_its_own_objects_when_it_is_opened(
    repo: UserRepo, tmp_path: Path
) -> None:
    git_dir, landed = await make_borrower(repo, tmp_path / "runs")
    await GitTrunk.open(git_dir.parent)
    assert not (git_dir / "objects" / "info" / "alternates").exists()
    assert readable(git_dir) == reached(git_dir)
    assert UserRepo(git_dir).git("config", "swarm.common") == str(repo.root / ".git")
    lose_everything_unreached(repo)
    again = await GitTrunk.open(git_dir.parent)
    assert await again.tip() == landed
    assert (await again.land(build_change(again, {"more": b"m\n"}), message("t-2"))).state is LandingState.MERGED


@pytest.mark.parametrize("state", ["between the renames", "before the renames"])
async def test_a_process_killed_while_it_copies_objects_loses_none(state: str, repo: UserRepo, tmp_path: Path) -> None:
    git_dir, landed = await make_borrower(repo, tmp_path / "runs")
    if state == "before the renames":
        (git_dir / "objects.new" / "pack").mkdir(parents=True)
        (git_dir / "objects.new" / "pack" / "tmp_pack_x").write_bytes(b"PACK")
    else:
        await GitTrunk.open(git_dir.parent)
        (git_dir / "objects").rename(git_dir / "objects.new")
        (git_dir / "objects.old").mkdir()
    trunk = await GitTrunk.open(git_dir.parent)
    assert await trunk.tip() == landed
    assert readable(git_dir) == reached(git_dir)
    assert not list(git_dir.glob("objects.*"))


async def test_a_run_of_an_earlier_version_whose_objects_are_gone_says_which(repo: UserRepo, tmp_path: Path) -> None:
    git_dir, _ = await make_borrower(repo, tmp_path / "runs")
    before = sorted(git_dir.rglob("*"))
    lost = repo.git("rev-parse", "HEAD")
    lose_everything_unreached(repo)
    with pytest.raises(SwarmError) as refused:
        await GitTrunk.open(git_dir.parent)
    assert refused.value.kind is ErrorKind.STATE
    assert lost in refused.value.message
    assert "git fetch" in refused.value.hint
    assert [path for path in before if not path.exists()] == []


async def test_a_later_run_links_the_packs_of_an_earlier_one_and_adds_the_rest(repo: UserRepo, tmp_path: Path) -> None:
    first = await make_trunk(repo, tmp_path / "runs")
    landed = await first.land(build_change(first, {"new": b"not for others\n"}), message("t-1"))
    [lent] = first.git_dir.glob("objects/pack/*.keep")
    assert readable((await make_trunk(repo, tmp_path / "runs", "r-2")).git_dir) == reached(first.git_dir) - set(
        UserRepo(first.git_dir).git("rev-list", "--objects", "--no-object-names", f"{first.base}..trunk").split()
    )
    repo.commit({"a.txt": b"moved on\n"})
    third = await make_trunk(repo, tmp_path / "runs", "r-3")
    pack = lent.with_suffix(".pack")
    assert (third.git_dir / "objects" / "pack" / pack.name).stat().st_ino == pack.stat().st_ino
    assert len(list(third.git_dir.glob("objects/pack/*.pack"))) == 2
    assert landed.commit not in readable(third.git_dir)
    assert readable(third.git_dir) == reached(third.git_dir)
    repo.commit({"a.txt": b"elsewhere\n"})
    repo.git("reset", "-q", "--hard", "HEAD~2")
    other = await make_trunk(repo, tmp_path / "runs", "r-4")
    assert readable(other.git_dir) == reached(other.git_dir)


async def test_a_pack_of_a_landing_that_never_moved_trunk_is_hidden_when_the_run_is_resumed(
    repo: UserRepo, trunk: GitTrunk
) -> None:
    await trunk.land(build_change(trunk, {"new": b"n\n"}), message("t-1"))
    before = (trunk.git_dir / "refs" / "heads" / "trunk").read_text()
    landed = await trunk.land(build_change(trunk, {"lost": b"killed before the swap\n"}), message("t-2"))
    (trunk.git_dir / "refs" / "heads" / "trunk").write_text(before)
    os.utime(trunk.git_dir / "refs" / "heads" / "trunk", (1, 1))
    assert landed.commit in readable(trunk.git_dir)
    await GitTrunk.open(trunk.git_dir.parent)
    assert readable(trunk.git_dir) == reached(trunk.git_dir)


async def test_stores_of_other_programs_in_alternates_are_not_copied(repo: UserRepo, tmp_path: Path) -> None:
    store = tmp_path / "lfs" / "objects"
    for number in range(4):
        (store / f"{number:02x}" / "ab").mkdir(parents=True)
        (store / f"{number:02x}" / "ab" / ("c" * 64)).write_bytes(SECRET)
    (repo.root / ".git" / "objects" / "info" / "alternates").write_text(f"{store}\n")
    trunk = await make_trunk(repo, tmp_path / "runs")
    assert readable(trunk.git_dir) == reached(trunk.git_dir)
    assert not [file for file in trunk.git_dir.rglob("*") if file.is_file() and SECRET in file.read_bytes()]

"""Publishing into the user's repository: two refs, their objects, and nothing else."""

import asyncio
import gc
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId, RunId
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.user_branches import publish
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import UserRepo, trunk_reading_from
from tests.ordinary_user import as_an_ordinary_user, give_away

RUN = RunId("r-1")


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    repo = UserRepo.make(tmp_path / "repo", {"a.txt": b"a\n", "b.txt": b"b\n"})
    repo.commit({"a.txt": b"A\n"}, "second")
    return repo


@pytest.fixture
async def trunk(repo: UserRepo, tmp_path: Path) -> GitTrunk:
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RUN)
    trunk_reading_from(repo, trunk.git_dir)
    return trunk


async def land(repo: UserRepo, trunk: GitTrunk, name: str) -> CommitId:
    result = await trunk.land(CommitId(repo.change(trunk.base, {name: b"x\n"})), "landed\n")
    assert result.commit
    return result.commit


async def test_everything_but_the_runs_refs_and_objects_stays_byte_for_byte(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    commits = [CommitId(repo.change("main", {f"f{at}": b"x\n"})) for at in range(3)]
    ran = tmp_path / "a hook ran"
    hooks = repo.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("reference-transaction", "post-merge", "post-checkout", "pre-auto-gc", "update", "post-index-change"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch '{ran}'\n")
        (hooks / hook).chmod(0o755)
    for key, value in (
        ("core.logAllRefUpdates", "always"),
        ("core.fsmonitor", f"touch '{ran}'"),
        ("core.untrackedCache", "true"),
        ("fetch.writeCommitGraph", "true"),
        ("fetch.prune", "true"),
        ("gc.auto", "1"),
        ("gc.autoDetach", "false"),
        ("maintenance.auto", "true"),
        ("remote.origin.url", str(repo.root)),
    ):
        repo.git("config", key, value)
    repo.git("tag", "v1")
    repo.git("pack-refs", "--all")
    repo.write({"a.txt": b"not committed\n", "untracked": b"u\n"})
    before = repo.fingerprint(RUN)
    graphs = sorted((repo.root / ".git/objects/info").iterdir())
    ran.unlink(missing_ok=True)
    source = await inspect_repo(repo.root)
    assert source.warnings
    assert await trunk.publish() == ""
    for commit in commits:
        await trunk.land(commit, "landed\n")
        await trunk.move_green(await trunk.tip())
        assert await trunk.publish() == ""
    assert not ran.exists()
    assert repo.fingerprint(RUN) == before
    assert sorted((repo.root / ".git/objects/info").iterdir()) == graphs
    assert repo.git("for-each-ref", "--format=%(refname)").split("\n") == [
        "refs/heads/main",
        "refs/heads/swarm/r-1/green",
        "refs/heads/swarm/r-1/trunk",
        "refs/tags/v1",
    ]
    assert repo.git("rev-parse", "swarm/r-1/trunk", "swarm/r-1/green").split("\n") == [await trunk.tip()] * 2


async def test_the_repos_command_for_alternate_refs_does_not_run(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    other = UserRepo.make(tmp_path / "other", {"x": b"1"})
    (repo.root / ".git" / "objects" / "info" / "alternates").write_text(f"{other.root}/.git/objects\n")
    repo.git("config", "core.alternateRefsCommand", f"touch '{tmp_path}/ran'; true")
    await land(repo, trunk, "c.txt")
    assert await trunk.publish() == ""
    assert not (tmp_path / "ran").exists()


async def test_the_first_publish_protects_the_base_from_gc(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.publish()
    repo.git("checkout", "-q", "--detach", "HEAD^")
    repo.git("branch", "-q", "-f", "main", "HEAD")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    assert repo.git("cat-file", "-t", trunk.base) == "commit"
    assert (await land(repo, trunk, "new")) == await trunk.tip()


async def test_a_checked_out_ref_is_not_updated_and_the_other_is_published(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    await trunk.publish()
    repo.git("worktree", "add", "-q", str(tmp_path / "looking"), "swarm/r-1/trunk")
    tip = await land(repo, trunk, "new")
    await trunk.move_green(tip)
    assert await trunk.publish() == "swarm/r-1/trunk not updated: it is checked out"
    assert repo.git("rev-parse", "swarm/r-1/trunk", "swarm/r-1/green").split("\n") == [trunk.base, tip]
    assert UserRepo(tmp_path / "looking").git("status", "--porcelain") == ""
    repo.git("worktree", "remove", str(tmp_path / "looking"))
    assert await trunk.publish() == ""
    assert repo.git("rev-parse", "swarm/r-1/trunk") == tip


async def test_a_ref_in_the_middle_of_a_rebase_is_not_updated(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.publish()
    repo.git("checkout", "-q", "swarm/r-1/trunk")
    repo.git("rebase", "-q", "--exec", "false", "HEAD^", check=False)
    await land(repo, trunk, "new")
    assert "not updated" in await trunk.publish()
    assert repo.git("rev-parse", "swarm/r-1/trunk") == trunk.base


async def test_a_ref_that_the_user_committed_to_is_not_updated(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.publish()
    own = repo.change("main", {"own": b"o\n"})
    repo.git("update-ref", "refs/heads/swarm/r-1/trunk", own)
    await land(repo, trunk, "new")
    assert await trunk.publish() == "swarm/r-1/trunk not updated: someone else moved it"
    assert repo.git("rev-parse", "swarm/r-1/trunk") == own


async def test_a_deleted_ref_is_published_again(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.publish()
    repo.git("update-ref", "-d", "refs/heads/swarm/r-1/trunk")
    assert await trunk.publish() == ""
    assert repo.git("rev-parse", "swarm/r-1/trunk") == trunk.base


async def test_a_missing_repo_is_an_error_with_a_hint(repo: UserRepo, trunk: GitTrunk, tmp_path: Path) -> None:
    repo.root.rename(tmp_path / "elsewhere")
    with pytest.raises(SwarmError) as raised:
        await trunk.publish()
    assert raised.value.hint


async def test_green_that_was_taken_back_is_removed_unless_it_is_checked_out_or_someone_moved_it(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    async def taken_back() -> str:
        await trunk.take_back_green()
        return await trunk.publish()

    await trunk.move_green(await land(repo, trunk, "new"))
    assert await trunk.publish() == ""
    repo.git("pack-refs", "--all")
    assert await taken_back() == ""
    assert repo.git("for-each-ref", "--format=%(refname:short)", "refs/heads/swarm") == "swarm/r-1/trunk"
    await trunk.move_green(await trunk.tip())
    assert await trunk.publish() == ""
    repo.git("worktree", "add", "-q", str(tmp_path / "looking"), "swarm/r-1/green")
    assert await taken_back() == "swarm/r-1/green not updated: it is checked out"
    repo.git("worktree", "remove", str(tmp_path / "looking"))
    own = repo.git("commit-tree", "-m", "own", "-p", "swarm/r-1/green", "HEAD^{tree}")
    repo.git("update-ref", "refs/heads/swarm/r-1/green", own)
    assert await trunk.publish() == "swarm/r-1/green not updated: someone else moved it"
    assert repo.git("rev-parse", "swarm/r-1/green") == own


async def test_publishing_works_from_a_linked_work_tree_that_borrows_and_shares(tmp_path: Path) -> None:
    origin = UserRepo.make(tmp_path / "origin", {"a.txt": b"a\n"})
    origin.git("clone", "-q", "--shared", str(origin.root), str(tmp_path / "clone"))
    clone = UserRepo(tmp_path / "clone")
    clone.git("config", "core.sharedRepository", "group")
    clone.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(tmp_path / "linked"), RUN)
    trunk_reading_from(clone, trunk.git_dir)
    assert await trunk.publish() == ""
    tip = await land(clone, trunk, "new")
    assert await trunk.publish() == ""
    assert clone.git("rev-parse", "swarm/r-1/trunk") == tip
    ref = clone.root / ".git" / "refs" / "heads" / "swarm" / RUN / "trunk"
    assert ref.stat().st_mode & 0o060 == 0o060


async def test_a_locked_ref_is_not_updated_until_the_lock_is_gone(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.publish()
    lock = repo.root / ".git" / "refs" / "heads" / "swarm" / RUN / "trunk.lock"
    lock.touch()
    tip = await land(repo, trunk, "new")
    assert await trunk.publish() == "swarm/r-1/trunk not updated: another git process has locked it"
    lock.unlink()
    assert await trunk.publish() == ""
    assert repo.git("rev-parse", "swarm/r-1/trunk") == tip


@pytest.mark.parametrize("branch", ["swarm/r-1", "swarm/r-1/trunk/mine"])
async def test_a_branch_in_the_way_is_named_and_the_other_branch_is_published(
    repo: UserRepo, trunk: GitTrunk, branch: str
) -> None:
    repo.git("branch", branch)
    await trunk.move_green(await land(repo, trunk, "new"))
    told = (await trunk.publish()).split("\n")
    assert f"swarm/r-1/trunk not updated: {branch} is in the way" in told
    assert len(told) == (2 if branch == "swarm/r-1" else 1)
    repo.git("branch", "-D", branch)
    assert await trunk.publish() == ""


async def test_nothing_is_written_into_a_repository_around_the_place_of_a_deleted_one(tmp_path: Path) -> None:
    outer = UserRepo.make(tmp_path / "outer", {"a.txt": b"a\n"})
    inner = UserRepo.make(tmp_path / "outer" / "inner", {"a.txt": b"a\n"})
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(inner.root), RUN)
    shutil.rmtree(inner.root / ".git")
    with pytest.raises(SwarmError, match="not the top folder of a git repo any more"):
        await trunk.publish()
    assert outer.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"


@pytest.mark.parametrize("lock", ["packed-refs.lock", "refs/heads/swarm/r-1/green.lock"])
async def test_a_branch_that_cannot_be_removed_for_a_lock_says_so(repo: UserRepo, trunk: GitTrunk, lock: str) -> None:
    await trunk.move_green(await land(repo, trunk, "new"))
    assert await trunk.publish() == ""
    await trunk.take_back_green()
    (repo.root / ".git" / lock).touch()
    assert await trunk.publish() == "swarm/r-1/green not updated: another git process has locked it"
    (repo.root / ".git" / lock).unlink()
    assert await trunk.publish() == ""


@pytest.mark.parametrize("closed", ["refs/heads", "objects", "."])
async def test_a_repository_that_its_user_may_not_write_to_is_an_error_with_the_reason(closed: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # which an ordinary user can reach
        folder = Path(name)
        repo = UserRepo.make(folder / "repo", {"a.txt": b"a\n"})
        (folder / "run").mkdir()
        trunk = await GitTrunk.create(folder / "run", await inspect_repo(repo.root), RUN)
        trunk_reading_from(repo, trunk.git_dir)
        await land(repo, trunk, "new")
        give_away(folder)
        change_modes("a-w", repo.root / ".git" / closed)
        told = as_an_ordinary_user(lambda: asyncio.run(publish(trunk.git_dir, repo.root, RUN, ("trunk", "green"))))
        change_modes("u+w", repo.root)
        why = "insufficient permission" if closed == "objects" else f"{repo.root}/.git/refs/heads is not writable"
        assert why in told or (closed == "." and "insufficient permission" in told), told
        assert "locked" not in told
        assert repo.git("-c", "safe.directory=*", "for-each-ref", "refs/heads/swarm") == ""


def change_modes(how: str, folder: Path) -> None:
    subprocess.run(["chmod", "-R", how, folder], check=True)


async def test_publishing_that_fails_after_it_was_cancelled_prints_no_traceback(
    trunk: GitTrunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fails(*_: object) -> str:
        begun.set()
        await go_on.wait()
        raise SwarmError(ErrorKind.GIT, "the disk is read-only", "none")

    printed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))
    monkeypatch.setattr("engine.repo.landing.trunk.publish", fails)
    publishing = asyncio.create_task(trunk.publish())
    await begun.wait()
    publishing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    del publishing
    gc.collect()
    assert printed == []


async def test_a_base_that_was_amended_and_pruned_is_published_with_its_history(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    for name in ("objects", "refs"):
        (repo.root / ".git" / name).rename(tmp_path / name)
    shutil.copytree(tmp_path / "objects", trunk.git_dir / "objects", dirs_exist_ok=True)
    (trunk.git_dir / "objects" / "info" / "alternates").unlink(missing_ok=True)
    (repo.root / ".git" / "index").unlink()  # it names objects that are gone
    repo.git("init", "-q")
    repo.commit({"a.txt": b"unrelated\n"}, "from the start")
    assert await trunk.publish() == ""
    assert repo.git("fsck", "--connectivity-only", "--no-dangling") == ""
    assert repo.git("rev-parse", "swarm/r-1/trunk") == trunk.base

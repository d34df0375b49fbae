"""Changes that are only in memory, and the groups in which they land."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId, LandingState, RunId, TaskId
from engine.repo.git.refs import Refs
from engine.repo.git.trees import EXECUTABLE, FILE, LINK, Content
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import FILES, build_change, message
from tests.engine.repo.user_repo import UserRepo


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    return UserRepo.make(tmp_path / "repo", FILES)


@pytest.fixture
async def trunk(repo: UserRepo, tmp_path: Path) -> GitTrunk:
    (tmp_path / "run").mkdir()
    return await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RunId("r-1"))


def line(number: int, text: bytes) -> bytes:
    lines = FILES["a.txt"].splitlines(keepends=True)
    lines[number] = text
    return b"".join(lines)


def packs(trunk: GitTrunk) -> int:
    return len(list((trunk.git_dir / "objects" / "pack").glob("*.pack")))


async def test_queued_changes_land_in_one_pack_with_a_commit_each(repo: UserRepo, trunk: GitTrunk) -> None:
    changes = [build_change(trunk, {f"new/{at}": b"%d\n" % at, "d/z": b"z\n"}) for at in range(40)]
    again = build_change(trunk, {"d/z": b"z\n"})
    git = UserRepo(trunk.git_dir).git
    assert git("cat-file", "-t", changes[1], check=False) == "", "nothing is written before it lands"
    before = packs(trunk)
    results = await asyncio.gather(*(trunk.land(made, message(f"t-{at}")) for at, made in enumerate(changes)))
    assert packs(trunk) <= before + 2
    assert {result.state for result in results} == {LandingState.MERGED}
    assert results[0].paths == ("d/z", "new/0")
    assert results[-1].paths == ("new/39",), "trunk has the same file with the same content already"
    assert (await trunk.land(again, message("t-40"))).state is LandingState.EMPTY
    git("fsck", "--full", "--strict", "--no-dangling")
    assert git("rev-list", "--merges", "trunk") == ""


async def test_changes_of_one_file_merge_or_conflict_within_a_group(repo: UserRepo, trunk: GitTrunk) -> None:
    texts = [line(0, b"one\n"), line(4, b"five\n"), line(8, b"nine\n"), line(0, b"eins\n"), line(4, b"five\n")]
    results = await asyncio.gather(*(trunk.land(build_change(trunk, {"a.txt": text}), message("t")) for text in texts))
    states = [result.state for result in results]
    assert states[:3] == [LandingState.MERGED] * 3
    assert states[3:] == [LandingState.CONFLICTED, LandingState.EMPTY]
    tip = await trunk.read_file(await trunk.tip(), "a.txt")
    assert tip == b"one\n2\n3\n4\nfive\n6\n7\n8\nnine\n"
    conflicted = results[3]
    assert conflicted.merged
    assert conflicted.base in {result.commit for result in results}
    marked = await trunk.read_file(conflicted.merged, "a.txt")
    assert marked is not None
    assert marked.startswith(b"<<<<<<< trunk\none\n=======\neins\n>>>>>>> yours\n2\n")
    assert conflicted.reason == "CONFLICT (content): Merge conflict in a.txt"


async def test_modes_symlinks_and_names_land_unchanged(repo: UserRepo, trunk: GitTrunk) -> None:
    files = {
        "d/x.txt": Content(EXECUTABLE, b"x\n"),
        "link": Content(LINK, b"d/x.txt"),
        os.fsdecode(b"\xff\n"): Content(FILE, b"\0\1"),
        "d/y.txt/inner": Content(FILE, b"a folder now\n"),
        "d/y.txt": None,
    }
    result = await trunk.land(build_change(trunk, files), message("t-1"))
    assert result.state is LandingState.MERGED
    listing = UserRepo(trunk.git_dir).git("ls-tree", "-r", "-z", "trunk").split("\0")
    assert [line.partition(" ")[0] for line in listing if line] == [
        "100644",
        "100755",
        "100644",
        "120000",
        "100644",
        "100644",
    ]


async def test_a_rename_of_a_file_that_trunk_changed_is_merged_by_git(repo: UserRepo, trunk: GitTrunk) -> None:
    renames = build_change(trunk, {"a.txt": None, "b.txt": FILES["a.txt"]})
    edits = build_change(trunk, {"a.txt": line(0, b"one\n")})
    first, second = await asyncio.gather(trunk.land(edits, message("t-1")), trunk.land(renames, message("t-2")))
    assert (first.state, second.state) == (LandingState.MERGED, LandingState.MERGED)
    assert second.paths == ("a.txt", "b.txt")
    assert await trunk.read_file(await trunk.tip(), "b.txt") == line(0, b"one\n")


async def test_the_same_change_from_two_workspaces_lands_once(repo: UserRepo, trunk: GitTrunk) -> None:
    made = [trunk.pending.build(trunk.base, trunk.base, {"n": Content(FILE, b"n\n")}, "same") for _ in range(2)]
    first = await trunk.land(made[0], message("t-1"))
    trunk.pending.release(made[0])
    second = await trunk.land(made[1], message("t-2"))
    assert (first.state, second.state) == (LandingState.MERGED, LandingState.EMPTY)
    trunk.pending.release(made[1])
    assert trunk.pending.get(made[1]) is None


async def test_a_large_change_is_not_kept_in_memory(repo: UserRepo, trunk: GitTrunk) -> None:
    made = build_change(trunk, {"large": os.urandom(5 << 20)})
    assert trunk.pending.get(made) is None
    assert (await trunk.land(made, message("t-1"))).state is LandingState.MERGED


async def test_merge_drivers_in_the_repos_config_do_not_run(repo: UserRepo, trunk: GitTrunk, tmp_path: Path) -> None:
    for git in (repo.git, UserRepo(trunk.git_dir).git):
        git("config", "merge.evil.driver", f"touch {tmp_path}/ran")
    await trunk.land(build_change(trunk, {".gitattributes": b"*.txt merge=evil\n"}), message("t-0"))
    texts = [line(0, b"one\n"), line(8, b"nine\n"), line(8, b"neun\n")]
    results = await asyncio.gather(*(trunk.land(build_change(trunk, {"a.txt": text}), message("t")) for text in texts))
    assert [result.state for result in results] == [LandingState.MERGED] * 2 + [LandingState.CONFLICTED]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
async def test_a_group_that_cannot_be_written_fails_and_can_land_later(
    repo: UserRepo, trunk: GitTrunk, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    changes = [build_change(trunk, {f"f{at}": b"x\n"}) for at in range(8)]
    before = await trunk.tip(), sorted(path.name for path in (trunk.git_dir / "objects" / "pack").iterdir())

    def full(fd: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        errors = await asyncio.gather(*(trunk.land(made, message("t")) for made in changes), return_exceptions=True)
    for error in errors:
        assert isinstance(error, SwarmError)
        assert error.kind is ErrorKind.GIT
        assert os.strerror(code) in error.message
        assert error.hint.startswith(("the disk is full", "the folder is not writable"))
    after = await trunk.tip(), sorted(path.name for path in (trunk.git_dir / "objects" / "pack").iterdir())
    assert after == before
    results = await asyncio.gather(*(trunk.land(made, message(f"t-{at}")) for at, made in enumerate(changes)))
    assert {result.state for result in results} == {LandingState.MERGED}


async def test_a_change_that_cannot_be_read_does_not_block_the_others(repo: UserRepo, trunk: GitTrunk) -> None:
    nothing = CommitId("1" * 40)
    good = [build_change(trunk, {f"f{at}": b"x\n"}) for at in range(3)]
    results = await asyncio.gather(*(trunk.land(made, message("t")) for made in [good[0], nothing, *good[1:]]))
    states = [result.state for result in results]
    assert states == [LandingState.MERGED, LandingState.REFUSED, LandingState.MERGED, LandingState.MERGED]


class PausedRefs(Refs):
    """Waits before each swap until it may go on."""

    def __init__(self, git_dir: Path) -> None:
        super().__init__(git_dir)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def compare_and_swap(self, ref: str, new: CommitId, old: CommitId | None) -> bool:
        self.reached.set()
        await self.go_on.wait()
        return await super().compare_and_swap(ref, new, old)


async def test_a_landing_that_is_cancelled_while_it_is_queued_does_not_land(repo: UserRepo, trunk: GitTrunk) -> None:
    refs = PausedRefs(trunk.git_dir)
    trunk = await GitTrunk.open(trunk.git_dir.parent, refs=refs)
    first = asyncio.create_task(trunk.land(build_change(trunk, {"f": b"x\n"}), message("t-1")))
    await refs.reached.wait()
    second = asyncio.create_task(trunk.land(build_change(trunk, {"g": b"x\n"}), message("t-2")))
    await asyncio.sleep(0)
    for landing in (first, second):  # the first one's group is landing already and cannot be stopped
        landing.cancel()
    refs.go_on.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(error) for error in outcomes] == [asyncio.CancelledError] * 2
    assert await trunk.read_file(await trunk.tip(), "f") == b"x\n"
    assert await trunk.read_file(await trunk.tip(), "g") is None
    assert await trunk.find_landed(TaskId("t-2")) == {}


async def test_commits_that_another_process_puts_on_trunk_are_found(repo: UserRepo, trunk: GitTrunk) -> None:
    own = await trunk.land(build_change(trunk, {"f": b"x\n"}), message("t-1"))
    git = UserRepo(trunk.git_dir).git
    theirs = git("commit-tree", "trunk^{tree}", "-p", "trunk", "-m", message("t-2"))
    git("update-ref", "refs/heads/trunk", theirs)
    assert await trunk.find_landed(TaskId("t-2")) == {TaskId("t-2"): theirs}
    assert await trunk.landed_since(trunk.base) == [own.commit, theirs]
    git("update-ref", "refs/heads/trunk", str(own.commit))
    assert await trunk.find_landed(TaskId("t-2")) == {}
    assert await trunk.landed_since(trunk.base) == [own.commit]

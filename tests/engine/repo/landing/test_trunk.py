"""The trunk in git: linear history, conflict markers, trailers, green, stale locks and unusual repositories."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from engine.domain.commit_message import commit_message
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.domain.types import CommitId, LandingState, RunId, TaskId
from engine.repo.git.git import GitTimeoutError
from engine.repo.git.objects import NewObjects
from engine.repo.git.refs import Refs
from engine.repo.landing.group_merge import FileMerge, MergedFile
from engine.repo.landing.merge import GitMerger, MergeOutcome
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import build_change
from tests.engine.repo.user_repo import UserRepo, trunk_reading_from, trunk_with_unlanded

RUN = RunId("r-1")
FILES = {"a.txt": b"1\n2\n3\n", "b.txt": b"b\n", "d/x.txt": b"x\n", "d/y.txt": b"y\n"}


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    return UserRepo.make(tmp_path / "repo", FILES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


async def trunk_of(repo: UserRepo, folder: Path) -> GitTrunk:
    trunk = await GitTrunk.create(folder, await inspect_repo(repo.root), RUN)
    trunk_reading_from(repo, trunk.git_dir)
    return trunk


@pytest.fixture
async def trunk(repo: UserRepo, folder: Path) -> GitTrunk:
    return await trunk_of(repo, folder)


def bare(trunk: GitTrunk) -> Callable[..., str]:
    return trunk_with_unlanded(trunk.git_dir).git


def message(task: str) -> str:
    return commit_message(f"do {task}", "", {"Swarm-Task": task})


def change(repo: UserRepo, files: dict[str, bytes | str | None], parent: str = "main") -> CommitId:
    return CommitId(repo.change(parent, files))


# --- landing -------------------------------------------------------------------------------------------------


async def test_fifty_concurrent_landings_make_a_linear_history_with_one_commit_each(
    repo: UserRepo, trunk: GitTrunk
) -> None:
    changes = [change(repo, {f"n/{at % 7}/f{at}": b"%d\n" % at}) for at in range(50)]
    results = await asyncio.gather(*(trunk.land(made, message(f"t-{at}")) for at, made in enumerate(changes)))
    assert {result.state for result in results} == {LandingState.MERGED}
    landed = await trunk.landed_since(trunk.base)
    git = bare(trunk)
    assert git("rev-list", "--parents", "refs/heads/trunk").split("\n") == [
        *(f"{commit} {parent}" for commit, parent in zip(landed[::-1], [*landed[-2::-1], trunk.base], strict=True)),
        trunk.base,
    ]
    for made, result in zip(changes, results, strict=True):
        own = git("diff-tree", "-r", "-p", f"{made}^", made)
        assert git("diff-tree", "-r", "-p", f"{result.commit}^", str(result.commit)) == own


async def test_a_landed_commit_has_the_swarms_identity_and_the_given_message(repo: UserRepo, trunk: GitTrunk) -> None:
    text = commit_message("Add ümlauts", "Why.", {"Swarm-Task": "t-1", "Swarm-Agent": "a-1", "Swarm-Intent": "2"})
    result = await trunk.land(change(repo, {"a.txt": b"4\n"}), text)
    assert result.commit
    commit = bare(trunk)("log", "-1", "--format=%an <%ae>|%cn <%ce>|%B", result.commit)
    who = "swarm-tui <swarm@localhost>"
    assert commit == f"{who}|{who}|{text.rstrip()}"


class ContestedRefs(Refs):
    """Moves trunk right before each swap, as another process would, to `move(tip)` (None: not this time)."""

    def __init__(self, git_dir: Path, move: Callable[[CommitId], str | None]) -> None:
        super().__init__(git_dir)
        self._contest = trunk_with_unlanded(git_dir).git
        self._move = move

    async def compare_and_swap(self, ref: str, new: CommitId, old: CommitId | None) -> bool:
        if old is not None and (other := self._move(old)) is not None:
            self._contest("update-ref", "refs/heads/trunk", other)
        return await super().compare_and_swap(ref, new, old)


async def contested(trunk: GitTrunk, move: Callable[[CommitId], str | None]) -> GitTrunk:
    return await GitTrunk.open(trunk.git_dir.parent, refs=ContestedRefs(trunk.git_dir, move))


async def test_a_landing_is_merged_again_when_another_process_moves_trunk(repo: UserRepo, trunk: GitTrunk) -> None:
    changes = [change(repo, {"a.txt": b"1\n2\nthree\n"}), change(repo, {"new": b"n\n"})]
    other = bare(trunk)("commit-tree", f"{repo.change('main', {'b.txt': b'B'})}^{{tree}}", "-p", trunk.base, "-m", "x")
    moves = iter([other])
    trunk = await contested(trunk, lambda _: next(moves, None))
    first, second = await asyncio.gather(*(trunk.land(made, message("t-1")) for made in changes))
    assert (first.state, second.state) == (LandingState.MERGED, LandingState.MERGED)
    assert (first.base, second.base) == (other, first.commit)
    git = bare(trunk)
    assert [git("show", f"trunk:{name}") for name in ("a.txt", "b.txt", "new")] == ["1\n2\nthree", "B", "n"]
    assert git("rev-list", "--count", f"{trunk.base}..trunk") == "3"


async def test_a_landing_is_refused_after_a_bounded_number_of_tries_when_trunk_keeps_moving(
    repo: UserRepo, trunk: GitTrunk
) -> None:
    made = change(repo, {"a.txt": b"1\n2\nthree\n"})
    git = bare(trunk)
    trunk = await contested(trunk, lambda tip: git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "again"))
    result = await trunk.land(made, message("t-1"))
    assert result.state is LandingState.REFUSED
    assert "moved" in result.reason


async def test_commits_that_do_not_descend_from_trunk_are_refused(repo: UserRepo, trunk: GitTrunk) -> None:
    tree = repo.git("rev-parse", "main^{tree}")
    unrelated = CommitId(repo.git("commit-tree", tree, "-m", "from nowhere"))
    result = await trunk.land(unrelated, message("t-1"))
    assert (result.state, result.base) == (LandingState.REFUSED, trunk.base)
    nothing = await trunk.land(CommitId("1" * 40), message("t-1"))
    assert nothing.state is LandingState.REFUSED
    assert await trunk.tip() == trunk.base


async def test_markers_names_and_reasons_of_a_conflict_contain_no_commit_ids(repo: UserRepo, trunk: GitTrunk) -> None:
    first = change(repo, {"a.txt": b"theirs\n", "new": b"a file\n", "d/x.txt": None})
    second = change(repo, {"a.txt": b"mine\n", "new/inner": b"a folder\n", "d/x.txt": b"changed\n"})
    await trunk.land(first, message("t-1"))
    result = await trunk.land(second, message("t-2"))
    assert result.conflicts == ("a.txt", "d/x.txt", "new~trunk")
    assert result.merged
    git = bare(trunk)
    assert git("show", f"{result.merged}:a.txt") == "<<<<<<< trunk\ntheirs\n=======\nmine\n>>>>>>> yours"
    assert "deleted in trunk and modified in yours" in result.reason
    for commit in (first, second, trunk.base, result.base):
        everything = git("grep", "-h", "", str(result.merged)) + git("ls-tree", "-r", "--name-only", result.merged)
        assert commit[:7] not in result.reason + everything


async def test_a_new_file_follows_the_folder_that_trunk_renamed(repo: UserRepo, trunk: GitTrunk) -> None:
    repo.git("checkout", "-q", "--detach", "main")
    repo.git("mv", "d", "moved")
    repo.git("commit", "-q", "-m", "rename")
    renamed = CommitId(repo.git("rev-parse", "HEAD"))
    repo.git("checkout", "-q", "main")
    made = change(repo, {"d/new.txt": b"new\n"})
    await trunk.land(renamed, message("t-1"))
    result = await trunk.land(made, message("t-2"))
    assert (result.state, result.paths) == (LandingState.MERGED, ("moved/new.txt",))


async def test_gitattributes_that_landed_apply_to_the_next_landing(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.land(change(repo, {".gitattributes": b"*.txt merge=union\n"}), message("t-1"))
    await trunk.land(change(repo, {"b.txt": b"b\none\n"}), message("t-2"))
    result = await trunk.land(change(repo, {"b.txt": b"b\ntwo\n"}), message("t-3"))
    assert result.state is LandingState.MERGED
    assert bare(trunk)("show", "refs/heads/trunk:b.txt") == "b\none\ntwo"


async def test_paths_with_unusual_characters_land(repo: UserRepo, trunk: GitTrunk) -> None:
    names = ['quo"te\\', "new\nline", "tab\tü", "-n", " space ", "latin\udce9"]
    result = await trunk.land(change(repo, dict.fromkeys(names, b"x\n")), message("t-1"))
    assert result.paths == tuple(sorted(map(path_text, names)))
    assert [await trunk.read_file(await trunk.tip(), name) for name in result.paths] == [b"x\n"] * 6


class SlowMerger(GitMerger):
    """Times out on merges of file contents, and on the commit `slow`."""

    slow: CommitId | None = None

    async def merge(self, ours: CommitId, theirs: CommitId) -> MergeOutcome:
        if theirs == self.slow:
            raise GitTimeoutError(ErrorKind.GIT, "git timed out after 120 s and was killed", "")
        return await super().merge(ours, theirs)

    async def merge_files(
        self, tip: CommitId, files: Mapping[bytes, FileMerge], new: NewObjects
    ) -> dict[bytes, MergedFile]:
        raise GitTimeoutError(ErrorKind.GIT, "git timed out after 120 s and was killed", "")


async def test_a_file_that_takes_too_long_to_merge_delays_only_its_own_landing(repo: UserRepo, folder: Path) -> None:
    lines = [b"%d\n" % (number % 3) for number in range(9)]
    base = repo.commit({"long": b"".join(lines), "other": b"".join(lines)}, "to merge")
    trunk = await trunk_of(repo, folder)
    first = change(repo, {"long": b"x\n" + b"".join(lines), "other": b"x\n" + b"".join(lines)}, base)
    assert (await trunk.land(first, message("t-1"))).state is LandingState.MERGED
    merger = SlowMerger(trunk.git_dir, "sha1")
    trunk = await GitTrunk.open(folder, merger=merger)
    hostile = change(repo, {"long": b"".join([*lines, b"1\n"])}, base)
    sound = [change(repo, {"other": b"".join([*lines, b"1\n"])}, base), change(repo, {"new": b"1\n"}, base)]
    merger.slow = hostile
    landings = (trunk.land(each, message(f"t-{number}")) for number, each in enumerate([hostile, *sound], 2))
    results = await asyncio.gather(*landings)
    assert [result.state for result in results] == [LandingState.REFUSED, LandingState.MERGED, LandingState.MERGED]
    assert "took too long" in results[0].reason


async def test_trunk_keeps_landing_after_a_landing_is_cancelled(repo: UserRepo, trunk: GitTrunk) -> None:
    changes = [change(repo, {f"f{at}": b"x\n"}) for at in range(6)]
    landings = [asyncio.create_task(trunk.land(made, message(f"t-{at}"))) for at, made in enumerate(changes)]
    await landings[0]
    for landing in landings[1:-1]:
        landing.cancel()
    assert (await landings[-1]).state is LandingState.MERGED
    await asyncio.gather(*landings, return_exceptions=True)
    for at, made in enumerate(changes):
        again = await trunk.land(made, message(f"t-{at}"))
        assert again.state in (LandingState.MERGED, LandingState.EMPTY)


# --- finding what has landed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("innocent\n\nSwarm-Task: t-9", ""),
        ("innocent", "text\n\nSwarm-Task: t-9"),
        ("innocent", "text\n\nSwarm-Task: t-9\n\n\n"),
        ("Swarm-Task: t-9", "Swarm-Task: t-9\r\n\r\nSwarm-Task: t-9\r"),
        ("innocent\u2028\u2028Swarm-Task: t-9", "\x1b[1mSwarm-Task: t-9\x00"),
    ],
)
async def test_a_hostile_title_or_body_cannot_claim_another_task(
    repo: UserRepo, trunk: GitTrunk, title: str, body: str
) -> None:
    result = await trunk.land(change(repo, {"f": b"x\n"}), commit_message(title, body, {"Swarm-Task": "t-1"}))
    assert await trunk.find_landed(TaskId("t-9")) == {}
    assert await trunk.find_landed(TaskId("t-1")) == {TaskId("t-1"): result.commit}


async def test_trailers_in_commits_before_the_base_are_ignored(repo: UserRepo, folder: Path) -> None:
    repo.commit({"f": b"x\n"}, "landed by an earlier run\n\nSwarm-Task: t-1")
    trunk = await trunk_of(repo, folder)
    assert await trunk.find_landed(TaskId("t-1")) == {}


# --- green ---------------------------------------------------------------------------------------------------


async def test_green_moves_only_forward_and_along_trunk(repo: UserRepo, trunk: GitTrunk) -> None:
    one = (await trunk.land(change(repo, {"f": b"1\n"}), message("t-1"))).commit
    two = (await trunk.land(change(repo, {"g": b"2\n"}), message("t-2"))).commit
    assert one
    assert two
    assert await trunk.green() is None
    await trunk.move_green(two)
    await trunk.move_green(one)
    assert await trunk.green() == two
    with pytest.raises(SwarmError, match="not on trunk"):
        await trunk.move_green(change(repo, {"h": b"3\n"}))


# --- a run's folder ------------------------------------------------------------------------------------------


async def test_an_opened_trunk_continues_where_it_stopped(repo: UserRepo, trunk: GitTrunk) -> None:
    first = await trunk.land(change(repo, {"f": b"1\n"}), message("t-1"))
    again = await GitTrunk.open(trunk.git_dir.parent)
    assert (await again.tip(), again.base) == (first.commit, trunk.base)
    assert (await again.land(change(repo, {"g": b"2\n"}), message("t-2"))).base == first.commit
    assert await again.find_landed(TaskId("t-1")) == {TaskId("t-1"): first.commit}


async def test_opening_removes_the_lock_files_of_killed_processes(repo: UserRepo, trunk: GitTrunk) -> None:
    for name in ("refs/heads/trunk.lock", "pack_body-refs.lock", "config.lock", "HEAD.lock"):
        (trunk.git_dir / name).write_bytes(b"")
    again = await GitTrunk.open(trunk.git_dir.parent)
    assert (await again.land(change(repo, {"f": b"1\n"}), message("t-1"))).state is LandingState.MERGED


async def test_opening_removes_the_unfinished_packs_of_killed_processes(trunk: GitTrunk) -> None:
    packs = trunk.git_dir / "objects" / "pack"
    for name, age in (("tmp_pack_old", 3_600), ("tmp_idx_old", 3_600), ("tmp_pack_new", 0)):
        (packs / name).write_bytes(b"half")
        os.utime(packs / name, (time.time() - age,) * 2)
    await GitTrunk.open(trunk.git_dir.parent)
    assert [path.name for path in packs.glob("tmp_*")] == ["tmp_pack_new"], "a live process may be writing it"


async def test_a_landing_waits_until_a_lock_is_released(repo: UserRepo, trunk: GitTrunk) -> None:
    lock = trunk.git_dir / "refs/heads/trunk.lock"
    lock.write_bytes(b"")
    asyncio.get_running_loop().call_later(0.05, lock.unlink)
    assert (await trunk.land(change(repo, {"f": b"1\n"}), message("t-1"))).state is LandingState.MERGED


async def test_an_unfinished_trunk_is_created_again(repo: UserRepo, folder: Path) -> None:
    (folder / "trunk.git.new" / "refs").mkdir(parents=True)
    trunk = await trunk_of(repo, folder)
    assert await trunk.tip() == repo.git("rev-parse", "main")
    with pytest.raises(SwarmError) as refused:
        await trunk_of(repo, folder)
    assert refused.value.kind is ErrorKind.STATE


async def test_a_trunk_without_its_source_lands_but_cannot_publish(
    repo: UserRepo, trunk: GitTrunk, tmp_path: Path
) -> None:
    repo.root.rename(tmp_path / "elsewhere")
    again = await GitTrunk.open(trunk.git_dir.parent)
    assert (await again.land(build_change(again, {"new": b"n\n"}), message("t-1"))).state is LandingState.MERGED
    with pytest.raises(SwarmError) as refused:
        await again.publish()
    assert refused.value.hint


async def test_trunk_is_never_pruned_and_its_commits_are_synced_to_disk(trunk: GitTrunk) -> None:
    git = UserRepo(trunk.git_dir)
    assert git.git("config", "core.fsync") == "committed,reference"
    loose = git.git("hash-object", "-w", "--stdin")
    assert git.status("prune", "--expire=now") != 0
    assert git.git("cat-file", "-t", loose) == "blob"


# --- unusual repos -------------------------------------------------------------------------------------------


async def land_and_publish(repo: UserRepo, folder: Path) -> None:
    trunk = await trunk_of(repo, folder)
    assert await trunk.publish() == ""
    for at in range(2):
        result = await trunk.land(change(repo, {f"f{at}": b"1\n"}, trunk.base), message(f"t-{at}"))
        assert result.state is LandingState.MERGED
    await trunk.move_green(await trunk.tip())
    assert await trunk.publish() == ""
    assert repo.git("rev-parse", "swarm/r-1/trunk", "swarm/r-1/green").split("\n") == [await trunk.tip()] * 2
    assert len(await trunk.landed_since(trunk.base)) == 2
    assert await trunk.find_landed(TaskId("t-1")) == {TaskId("t-1"): await trunk.tip()}
    repo.git("fsck", "--connectivity-only")


async def test_landing_works_in_a_sha256_repo(tmp_path: Path, folder: Path) -> None:
    repo = UserRepo.make(tmp_path / "repo", FILES, "--object-format=sha256")
    await land_and_publish(repo, folder)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
async def test_landing_works_in_a_shallow_repo(object_format: str, tmp_path: Path, folder: Path) -> None:
    repo = UserRepo.make(tmp_path / object_format, FILES, f"--object-format={object_format}")
    for at in range(3):
        repo.commit({"a.txt": b"%d\n" % at})
    repo.git("clone", "-q", "--depth=2", f"file://{repo.root}", str(tmp_path / "shallow"))
    shallow = UserRepo(tmp_path / "shallow")
    boundary = (shallow.root / ".git" / "shallow").read_bytes()
    await land_and_publish(shallow, folder)
    assert (shallow.root / ".git" / "shallow").read_bytes() == boundary


async def test_landing_works_in_a_repo_with_relative_alternates(repo: UserRepo, tmp_path: Path, folder: Path) -> None:
    repo.git("clone", "-q", "--shared", str(repo.root), str(tmp_path / "borrower"))
    borrower = UserRepo(tmp_path / "borrower")
    (borrower.root / ".git/objects/info/alternates").write_text("../../../repo/.git/objects\n")
    await land_and_publish(borrower, folder)


async def test_landing_works_from_a_linked_work_tree(repo: UserRepo, tmp_path: Path, folder: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    await land_and_publish(UserRepo(tmp_path / "linked"), folder)


async def test_landing_works_in_a_path_with_unusual_characters(tmp_path: Path, folder: Path) -> None:
    repo = UserRepo.make(tmp_path / 'a "b"\n: ü # c', FILES)
    (folder / "two\nlines").mkdir()
    await land_and_publish(repo, folder / "two\nlines")

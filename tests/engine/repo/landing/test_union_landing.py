"""Landings on a real trunk that may merge some files by union."""

import asyncio
from pathlib import Path

import pytest

from engine.domain.types import CommitId, LandingState, RunId
from engine.repo.landing.trunk import GitTrunk
from engine.repo.landing.union_merge import UnionPaths
from engine.repo.source import inspect_repo
from tests.engine.repo.pending_changes import build_change
from tests.engine.repo.user_repo import Content, UserRepo, trunk_reading_from, trunk_with_unlanded

LOG = "CHANGELOG.md"
OLD = b"# Changes\n\n- first\n"
FILES = {LOG: OLD, "rows.csv": b"name,value\na,1\n", "app.py": b"import a\n", "d/x.txt": b"1\n2\n3\n4\n"}


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    (tmp_path / "run").mkdir()
    return UserRepo.make(tmp_path / "repo", FILES)


@pytest.fixture
async def trunk(tmp_path: Path, repo: UserRepo) -> GitTrunk:
    return await trunk_of(repo, tmp_path / "run", LOG, "*.csv")


async def trunk_of(repo: UserRepo, folder: Path, *union: str) -> GitTrunk:
    trunk = await GitTrunk.create(folder, await inspect_repo(repo.root), RunId("r-1"), union=UnionPaths(union))
    trunk_reading_from(repo, trunk.git_dir)
    return trunk


def change(repo: UserRepo, files: dict[str, Content]) -> CommitId:
    return CommitId(repo.change("main", files))


async def content(trunk: GitTrunk, path: str) -> bytes | None:
    return await trunk.read_file(await trunk.tip(), path)


async def test_forty_changes_that_append_to_a_changelog_land_at_once_without_a_conflict(trunk: GitTrunk) -> None:
    made = [build_change(trunk, {LOG: OLD + b"- %d\n" % number}) for number in range(40)]
    results = await asyncio.gather(*(trunk.land(commit, "m") for commit in made))
    assert {result.state for result in results} == {LandingState.MERGED}
    assert await content(trunk, LOG) == OLD + b"".join(b"- %d\n" % number for number in range(40))


async def test_rows_of_a_table_in_any_folder_are_kept(trunk: GitTrunk) -> None:
    for row in (b"b,2\n", b"c,3\n"):
        result = await trunk.land(build_change(trunk, {"rows.csv": FILES["rows.csv"] + row}), "m")
        assert result.state is LandingState.MERGED
    assert await content(trunk, "rows.csv") == b"name,value\na,1\nb,2\nc,3\n"


async def test_code_is_not_merged_by_union(trunk: GitTrunk) -> None:
    await trunk.land(build_change(trunk, {"app.py": b"import a\nimport b\n"}), "m")
    result = await trunk.land(build_change(trunk, {"app.py": b"import a\nimport c\n"}), "m")
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, ("app.py",))


@pytest.mark.parametrize("ours", [b"# Changes\n\n- First\n- ours\n", b"# Changes\n\n- ours\n"])
async def test_a_changed_or_removed_line_stays_a_conflict(trunk: GitTrunk, ours: bytes) -> None:
    await trunk.land(build_change(trunk, {LOG: ours}), "m")
    result = await trunk.land(build_change(trunk, {LOG: OLD + b"- theirs\n"}), "m")
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, (LOG,))


async def test_a_conflict_elsewhere_in_the_change_goes_to_the_agent_without_the_united_file(trunk: GitTrunk) -> None:
    await trunk.land(build_change(trunk, {LOG: OLD + b"- ours\n", "app.py": b"import b\n"}), "m")
    result = await trunk.land(build_change(trunk, {LOG: OLD + b"- theirs\n", "app.py": b"import c\n"}), "m")
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, ("app.py",))
    assert shown(trunk, f"{result.merged}:{LOG}") == OLD + b"- ours\n- theirs\n"


@pytest.mark.parametrize("attributes", [b"*.md -merge\n", b"*.md binary\n", b"*.md merge=text\n"])
async def test_gitattributes_of_the_repository_decide_before_the_setting(
    repo: UserRepo, tmp_path: Path, attributes: bytes
) -> None:
    repo.commit({".gitattributes": attributes}, "attributes")
    trunk = await trunk_of(repo, tmp_path / "run", LOG)
    await trunk.land(build_change(trunk, {LOG: OLD + b"- ours\n"}), "m")
    result = await trunk.land(build_change(trunk, {LOG: OLD + b"- theirs\n"}), "m")
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, (LOG,))


async def test_a_change_that_git_merges_as_a_whole_keeps_both_additions(repo: UserRepo, trunk: GitTrunk) -> None:
    await trunk.land(change(repo, {LOG: OLD + b"- ours\n", "d/x.txt": b"1\n2\n3\n5\n"}), "m")
    renamed = change(repo, {LOG: OLD + b"- theirs\n", "d/x.txt": None, "d/y.txt": b"0\n1\n2\n3\n4\n"})
    result = await trunk.land(renamed, "m")
    assert (result.state, result.paths) == (LandingState.MERGED, (LOG, "d/x.txt", "d/y.txt"))
    assert await content(trunk, LOG) == OLD + b"- ours\n- theirs\n"
    assert await content(trunk, "d/y.txt") == b"0\n1\n2\n3\n5\n"


async def test_another_conflict_of_such_a_change_is_the_only_one_that_the_agent_sees(
    repo: UserRepo, trunk: GitTrunk
) -> None:
    await trunk.land(change(repo, {LOG: OLD + b"- ours\n", "d/x.txt": b"1\n2\n3\n5\n"}), "m")
    renamed = change(repo, {LOG: OLD + b"- theirs\n", "d/x.txt": None, "d/y.txt": b"1\n2\n3\n6\n"})
    result = await trunk.land(renamed, "m")
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, ("d/y.txt",))
    assert LOG not in result.reason
    assert b"<<<<<<< trunk" in shown(trunk, f"{result.merged}:d/y.txt")
    assert shown(trunk, f"{result.merged}:{LOG}") == OLD + b"- ours\n- theirs\n"


async def test_windows_line_ends_and_an_executable_bit_are_kept(repo: UserRepo, tmp_path: Path) -> None:
    old = b"a\r\nb"
    (repo.root / "list.csv").write_bytes(old)
    (repo.root / "list.csv").chmod(0o755)
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "list")
    trunk = await trunk_of(repo, tmp_path / "run", "*.csv")
    for row in (b"ours", b"theirs"):
        made = change(repo, {"list.csv": old + b"\r\n" + row})
        assert (await trunk.land(made, "m")).state is LandingState.MERGED
    assert await content(trunk, "list.csv") == b"a\r\nb\r\nours\r\ntheirs"


def shown(trunk: GitTrunk, name: str) -> bytes:
    return trunk_with_unlanded(trunk.git_dir).git("show", name).encode() + b"\n"

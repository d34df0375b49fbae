"""Which repositories a run can start from, and what the user is warned about."""

import os
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, ExitStatus, SwarmError
from engine.repo import source
from engine.repo.git import status
from engine.repo.git.alternates import object_folders
from engine.repo.git.git import check_version
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import UserRepo


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    return UserRepo.make(tmp_path / "repo", {"a.txt": b"a\n", "sub/b.txt": b"b\n"})


async def refusal(path: Path, branch: str = "") -> SwarmError:
    with pytest.raises(SwarmError) as raised:
        await inspect_repo(path, branch)
    assert (raised.value.kind, raised.value.status) == (ErrorKind.REPO, ExitStatus.UNUSABLE)
    assert raised.value.hint
    assert "\n" not in raised.value.message + raised.value.hint
    return raised.value


async def test_a_run_starts_from_the_branch_that_is_checked_out(repo: UserRepo) -> None:
    source = await inspect_repo(repo.root)
    assert source.root == repo.root
    assert source.git_dir == source.common_dir == repo.root / ".git"
    assert (source.branch, source.base) == ("main", repo.git("rev-parse", "main"))
    assert (source.object_format, source.partial, source.warnings) == ("sha1", False, ())


async def test_a_subfolder_means_the_repo_it_is_in(repo: UserRepo) -> None:
    assert (await inspect_repo(repo.root / "sub")).root == repo.root


async def test_a_relative_path_is_resolved(repo: UserRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.root)
    assert (await inspect_repo(Path("."))).root == repo.root


async def test_a_linked_work_tree_has_its_own_branch(repo: UserRepo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    UserRepo(tmp_path / "linked").commit({"c": b"c\n"})
    source = await inspect_repo(tmp_path / "linked")
    assert (source.root, source.branch) == (tmp_path / "linked", "side")
    assert source.git_dir == repo.root / ".git" / "worktrees" / "linked"
    assert source.objects == repo.root / ".git" / "objects"
    assert source.base == repo.git("rev-parse", "side")


async def test_a_run_can_start_from_another_branch(repo: UserRepo) -> None:
    repo.git("branch", "old/one")
    repo.commit({"a.txt": b"b\n"})
    source = await inspect_repo(repo.root, "old/one")
    assert (source.branch, source.base) == ("old/one", repo.git("rev-parse", "main^"))


@pytest.mark.parametrize("branch", ["mian", "-x", "main^", "refs/heads/main", "HEAD", "a b"])
async def test_an_unknown_branch_is_an_error(repo: UserRepo, branch: str) -> None:
    assert branch in (await refusal(repo.root, branch)).message


async def test_the_hint_for_an_unknown_branch_names_the_closest_one(repo: UserRepo) -> None:
    assert "main" in (await refusal(repo.root, "mian")).hint


async def test_a_path_that_is_not_a_repo_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "is not a git repo" in (await refusal(tmp_path)).message
    assert "no such folder" in (await refusal(tmp_path / "nothing")).message
    assert "not a folder" in (await refusal(tmp_path / "file")).message


async def test_a_bare_repo_is_an_error(repo: UserRepo, tmp_path: Path) -> None:
    repo.git("clone", "-q", "--bare", str(repo.root), str(tmp_path / "bare"))
    assert "bare" in (await refusal(tmp_path / "bare")).message


async def test_a_git_folder_is_an_error(repo: UserRepo) -> None:
    assert "not in a work tree" in (await refusal(repo.root / ".git")).message


async def test_a_repo_without_commits_is_an_error(tmp_path: Path) -> None:
    empty = UserRepo.make(tmp_path / "empty", {})
    assert "no commits yet" in (await refusal(empty.root)).message


async def test_a_broken_repo_is_an_error(repo: UserRepo) -> None:
    (repo.root / ".git" / "config").write_text("[core\n")
    assert (await refusal(repo.root)).hint == "correct that file by hand"


async def test_a_broken_list_of_branches_is_not_a_repo_without_commits(repo: UserRepo) -> None:
    repo.git("pack-refs", "--all")
    (repo.root / ".git" / "packed-refs").write_text("garbage\n")
    for branch in ("", "main"):
        error = await refusal(repo.root, branch)
        assert "unexpected line in .git/packed-refs: garbage" in error.message
        assert error.hint == "correct that file by hand"


async def test_a_broken_branch_is_an_error_of_its_own_only(repo: UserRepo) -> None:
    (repo.root / ".git" / "refs" / "heads" / "lost").write_text("garbage\n")
    assert (await inspect_repo(repo.root)).base
    assert "ignoring broken ref refs/heads/lost" in (await refusal(repo.root, "lost")).message
    assert (await refusal(repo.root, "mian")).hint == "did you mean main?"


async def test_a_branch_named_swarm_is_an_error(repo: UserRepo) -> None:
    repo.git("branch", "swarm/earlier/trunk")
    await inspect_repo(repo.root)
    repo.git("branch", "-D", "swarm/earlier/trunk")
    repo.git("branch", "swarm")
    assert "the branch swarm conflicts" in (await refusal(repo.root)).message


async def test_a_partial_clone_is_a_warning(repo: UserRepo, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "-q", "--filter=blob:none", f"file://{repo.root}", str(tmp_path / "partial"))
    source = await inspect_repo(tmp_path / "partial")
    assert source.partial
    assert "partial clone" in "".join(source.warnings)


async def test_a_sha256_repo_is_recognised(tmp_path: Path) -> None:
    repo = UserRepo.make(tmp_path / "repo", {"a": b"a\n"}, "--object-format=sha256")
    source = await inspect_repo(repo.root)
    assert (source.object_format, len(source.base)) == ("sha256", 64)


async def test_uncommitted_changes_are_a_warning_and_the_index_is_not_written(repo: UserRepo) -> None:
    repo.write({"a.txt": b"changed\n", "new": b"n\n"})
    os.utime(repo.root / "sub" / "b.txt", (1, 1))  # git status would refresh the index for this
    before = repo.fingerprint("r-1")
    (warning,) = (await inspect_repo(repo.root)).warnings
    assert "won't see 2 uncommitted changes" in warning
    assert repo.fingerprint("r-1") == before


async def test_a_detached_head_is_a_warning(repo: UserRepo) -> None:
    repo.git("checkout", "-q", "--detach")
    source = await inspect_repo(repo.root)
    assert source.branch == ""
    assert "detached" in source.warnings[0]


async def test_submodules_are_a_warning(repo: UserRepo, tmp_path: Path) -> None:
    other = UserRepo.make(tmp_path / "other", {"o": b"o\n"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "lib")
    repo.commit({})
    (warning,) = (await inspect_repo(repo.root)).warnings
    assert "submodules" in warning


async def test_the_callers_git_variables_are_ignored(
    repo: UserRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = UserRepo.make(tmp_path / "other", {"o": b"o\n"})
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    assert (await inspect_repo(repo.root)).git_dir == repo.root / ".git"


async def test_a_missing_git_is_an_error(repo: UserRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "not installed" in (await refusal(repo.root)).message


def test_an_old_git_is_an_error_and_unusual_versions_are_understood() -> None:
    with pytest.raises(SwarmError, match="git too old"):
        check_version("git version 2.37.9")
    assert check_version("git version 2.38.0") == (2, 38)
    assert check_version("git version 2.50.1 (Apple Git-155)") == (2, 50)
    assert check_version("git version 2.45.1.windows.1") == (2, 45)
    with pytest.raises(SwarmError):
        check_version("what?")


async def test_programs_named_in_the_repos_config_do_not_run(repo: UserRepo, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    repo.commit({".gitattributes": b"a.txt filter=a=b\n*.md filter=c.d\n", "a.txt": b"a", "b.md": b"b"}, "filtered")
    for name, key in (("a=b", "clean"), ("c.d", "process")):
        repo.git("config", f"filter.{name}.required", "true")
        repo.git("config", f"filter.{name}.{key}", f"touch '{ran}'; cat")
    for name in ("a.txt", "b.md"):
        os.utime(repo.root / name, (1, 1))  # so that git has to read the file
    (warning,) = (await inspect_repo(repo.root)).warnings
    assert "the repo has filters such as LFS" in warning
    assert not ran.exists()


async def test_alternates_are_followed_once_and_only_to_folders(repo: UserRepo, tmp_path: Path) -> None:
    home, other = tmp_path / "home", UserRepo.make(tmp_path / "other", {"x": b"1"})
    objects = repo.root / ".git" / "objects"
    (objects / "info" / "alternates").write_text(f"{home}\n../objects\n{other.root}/.git/objects\n")
    assert object_folders((await inspect_repo(repo.root)).objects) == [objects, other.root / ".git" / "objects"]


async def test_a_work_tree_that_belongs_to_another_repo_is_an_error(repo: UserRepo, tmp_path: Path) -> None:
    other = UserRepo.make(tmp_path / "other", {"private": b"p\n"})
    for elsewhere in (other.root, tmp_path):
        repo.git("config", "core.worktree", str(elsewhere))
        error = await refusal(repo.root)
        assert "which is not part of that repo" in error.message
        assert "--unset core.worktree" in error.hint


async def test_a_submodule_and_a_git_folder_elsewhere_are_repos(repo: UserRepo, tmp_path: Path) -> None:
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo.root), "module")
    assert (await inspect_repo(repo.root / "module")).root == repo.root / "module"
    repo.git("clone", "-q", "--separate-git-dir", str(tmp_path / "git"), str(repo.root), str(tmp_path / "tree"))
    assert (await inspect_repo(tmp_path / "tree")).git_dir == tmp_path / "git"


@pytest.mark.parametrize("place", ["include", ".git/HEAD", ".git/objects/info/alternates"])
async def test_a_pipe_that_git_reads_is_an_error_and_not_a_hang(
    place: str, repo: UserRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "USER_REPO_TIMEOUT_S", 1.0)
    pipe = tmp_path / "pipe" if place == "include" else repo.root / place
    if place == "include":
        repo.git("config", "include.path", str(pipe))
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with pytest.raises(SwarmError) as raised:
        await inspect_repo(repo.root)
    assert "a pipe" in raised.value.hint


async def test_a_pipe_of_ignore_rules_is_left_out(repo: UserRepo) -> None:
    rules = repo.root / ".git" / "info" / "exclude"
    rules.unlink(missing_ok=True)
    os.mkfifo(rules)
    assert (await inspect_repo(repo.root)).warnings == ()


async def test_a_pipe_in_the_work_tree_costs_only_the_count_of_changes(
    repo: UserRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "USER_REPO_TIMEOUT_S", 1.0)
    (repo.root / "new").mkdir()
    os.mkfifo(repo.root / "new" / ".gitignore")
    assert "took too long" in "".join((await inspect_repo(repo.root)).warnings)


async def test_a_relative_folder_on_the_path_is_not_searched(
    repo: UserRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo.root / "git").write_text(f"#!/bin/sh\n: >'{tmp_path}/ran'\n")
    (repo.root / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f".::{os.environ['PATH']}")
    await inspect_repo(repo.root)
    assert not (tmp_path / "ran").exists()

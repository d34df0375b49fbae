"""Where a run's result is said to be comes from the branches of the person's repository as they are."""

import shutil
from pathlib import Path

import pytest

from engine.domain.types import CommitId, RunId, RunState
from engine.repo.landing.user_branches import branches_of
from engine.reports.result import result_of
from engine.state.snapshot import Snapshot
from tests.engine.repo.user_repo import UserRepo

TRUNK_GIT = Path("/state/a run/trunk.git")


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    return UserRepo.make(tmp_path / "repo", {"a": b"a\n"})


@pytest.fixture
def run(repo: UserRepo) -> Snapshot:
    """A finished run whose branches are in the repository."""
    base, trunk = repo.git("rev-parse", "main"), repo.change("main", {"b": b"b\n"})
    for name in ("trunk", "green"):
        repo.git("branch", f"swarm/r-1/{name}", trunk)
    s = Snapshot(run=RunId("r-1"), repo=str(repo.root), base=CommitId(base), trunk=CommitId(trunk))
    s.state, s.green = RunState.FINISHED, s.trunk
    return s


def test_nothing_is_wrong_while_the_branches_are_there(repo: UserRepo, run: Snapshot) -> None:
    assert branches_of(repo.root, run.run) == {"trunk": run.trunk, "green": run.green}
    found = result_of(run, TRUNK_GIT)
    assert (found.unpublished, found.fetch) == ("", "")


def test_a_missing_branch_is_named_with_the_command_that_gets_it(repo: UserRepo, run: Snapshot) -> None:
    repo.git("branch", "-D", "swarm/r-1/green", "swarm/r-1/trunk")
    run.left_alone = "no disk\nno luck"
    found = result_of(run, TRUNK_GIT)
    missing = f"{repo.root} has no branch swarm/r-1"
    assert found.unpublished == f"{missing}/trunk, {missing}/green (no disk; no luck)"
    assert found.fetch == "git fetch '/state/a run/trunk.git' green"
    run.green = None
    assert result_of(run, TRUNK_GIT).fetch == "git fetch '/state/a run/trunk.git' trunk"


def test_a_moved_branch_is_no_result_once_the_run_has_ended(repo: UserRepo, run: Snapshot) -> None:
    repo.git("branch", "-f", "swarm/r-1/green", "main")
    found = result_of(run, TRUNK_GIT)
    assert found.unpublished == f"swarm/r-1/green is at {run.base[:12]} instead of {run.trunk[:12]}"
    assert found.fetch.endswith(" green")
    run.state = RunState.RUNNING  # branches are written every few seconds
    assert result_of(run, TRUNK_GIT).unpublished == ""


def test_a_green_that_was_taken_back_but_is_still_there_is_named(run: Snapshot) -> None:
    run.green = None
    found = result_of(run, TRUNK_GIT)
    assert "swarm/r-1/green was taken back but is still in" in found.unpublished
    assert found.fetch == "", "trunk is there"


def test_a_deleted_repository_has_no_branches(repo: UserRepo, run: Snapshot) -> None:
    shutil.rmtree(repo.root)
    assert branches_of(repo.root, run.run) == {}
    assert result_of(run, TRUNK_GIT).fetch


def test_without_a_landing_there_is_no_result_to_miss(repo: UserRepo, run: Snapshot) -> None:
    repo.git("branch", "-D", "swarm/r-1/green", "swarm/r-1/trunk")
    run.trunk, run.green = run.base, None
    assert result_of(run, TRUNK_GIT).unpublished == ""

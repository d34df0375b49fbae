"""A swarm on a library that this project did not write: real files, real tests, real conflicts, real sockets."""

import shutil
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine.domain.settings import SwarmSettings
from tests.engine.model_server import model_server
from tests.engine.real_runs import fingerprint, git, settings, started
from tests.real_library.additions import ADDITIONS
from tests.real_library.library import SUITE, fetch, under_git
from tests.real_library.team import FILES, brain


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch(tmp_path_factory.mktemp("sources"))


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_swarm_extends_a_real_library_and_its_own_tests_pass(
    tmp_path: Path, sources: Path, provider: str
) -> None:
    repo = under_git(shutil.copytree(sources, tmp_path / "repo"))
    before = fingerprint(repo)
    wanted = settings(f"{provider}:a-model", SUITE, swarm=SwarmSettings(workers=4))
    async with model_server(brain) as server:
        run = await started(repo, tmp_path / "state", wanted, server.environ())
        summary = await run.run()
    assert summary.exit_status == 0, run.snapshot.reason
    assert fingerprint(repo) == before
    _examine_journal(Path(summary.db))
    _examine_branch(repo, f"swarm/{summary.run}/trunk", tmp_path / "clone")
    assert git(repo, "rev-parse", f"swarm/{summary.run}/green").strip() == summary.trunk


def _examine_journal(db: Path) -> None:
    with sqlite3.connect(db) as journal:

        def ask(sql: str) -> list[tuple[Any, ...]]:
            return journal.execute(sql).fetchall()

        assert dict(ask("SELECT title, state FROM tasks")) == {addition.title: "landed" for addition in ADDITIONS}
        assert ask("SELECT count(*) FROM agents WHERE role = 'planner'") == [(3,)]
        states = Counter(state for (state,) in ask("SELECT state FROM landings"))
        assert states["merged"] + states["resolved"] == len(ADDITIONS)
        assert states["conflicted"], "they met at the same places"
        assert states["resolved"], "and came to an end of it"
        tests = ask("SELECT count(*) FROM tool_calls WHERE tool = 'shell' AND arguments LIKE '%unittest%'")
        assert tests[0][0] >= len(ADDITIONS)
        assert ask("SELECT passed FROM greens ORDER BY seq DESC LIMIT 1") == [(1,)]


def _examine_branch(repo: Path, branch: str, clone: Path) -> None:
    """As a person takes the result: a plain clone of the branch, and the library's own tests in it."""
    subprocess.run(["git", "clone", "--quiet", "--branch", branch, str(repo), str(clone)], check=True)
    done = subprocess.run(SUITE.split(), cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    changed = git(clone, "diff", "--name-only", "origin/main", "HEAD").split()
    assert sorted(changed) == sorted(FILES)
    use = "; ".join(["import more_itertools", *(f"more_itertools.{addition.name}" for addition in ADDITIONS)])
    subprocess.run(["python3", "-c", use], cwd=clone, check=True, capture_output=True)
    assert len(git(clone, "log", "--format=%H", "origin/main..HEAD").split()) == len(ADDITIONS)
    assert git(clone, "log", "--merges", "--format=%H") == ""

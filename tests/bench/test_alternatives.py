"""The work that all ways are given: pairs break the check only together, and its account tells waste from work."""

import subprocess
from pathlib import Path

import pytest

from tests.bench.alternatives.work import (
    CHECK,
    FAILED,
    FIX,
    PASSED,
    PLANNED,
    Account,
    Plan,
    command,
    make_source,
    next_step,
    paths,
    red,
    titles,
)
from tests.git import git

PLAN = Plan(["own 0", "hot 0", "rename 0", "use 0"], agents=1, latency_s=0.0, longest_s=1.0, files=30)


def sh(folder: Path, text: str) -> str:
    return subprocess.run(["sh", "-c", text], cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    make_source(folder, PLAN, check_s=0.0)
    return folder


@pytest.mark.parametrize("title", PLAN.titles)
def test_each_task_alone_passes_the_check_and_changes_only_its_files(source: Path, title: str) -> None:
    sh(source, command(title, "change"))
    assert PASSED in sh(source, CHECK)
    git(source, "add", "-A")
    changed = git(source, "diff", "--cached", "--name-only", "HEAD").split()
    assert changed
    assert set(changed) <= set(paths(title))


def test_both_halves_of_a_pair_merge_cleanly_and_fail_until_they_are_fixed(source: Path) -> None:
    for title in ("rename 0", "use 0"):
        git(source, "checkout", "-q", "-b", title.replace(" ", "-"), "main")
        sh(source, command(title, "change"))
        git(source, "add", "-A")
        git(source, "commit", "-qm", title)
    git(source, "merge", "-q", "--no-edit", "rename-0")
    assert FAILED in sh(source, CHECK)
    assert red(source, ["main", "rename-0", "HEAD"], source.parent / "scratch") == [False, False, True]
    sh(source, FIX)
    assert PASSED in sh(source, CHECK)


def test_an_agent_looks_changes_checks_and_hands_off_unless_something_is_wrong() -> None:
    done: list[tuple[str, str]] = []
    for expected in PLANNED:
        assert next_step("own 1", "", done) == expected
        done.append((expected, PASSED))
    assert next_step("use 1", "", [*done[:2], ("check", f"uses/1-second: no such name\n{FAILED}")]) == "fix"
    assert next_step("own 1", "", [*done[:2], ("check", f"uses/1-second: no such name\n{FAILED}")]) == "hand off"
    assert next_step("own 1", "check", [("fix", ""), ("check", FAILED)]) == "fix"
    assert next_step("hot 1", "conflict", [("look at conflict", "<<<<<<< HEAD")]) == "resolve"
    assert next_step("hot 1", "conflict", [("look at conflict", "")]) == "change"


def test_a_planned_step_that_is_done_again_is_wasted() -> None:
    account = Account()
    for step in (*PLANNED, "check", "resolve"):
        account.add("own 0", step, 10)
    assert account.calls == {"planned": 4, "wasted": 2, "planning": 0}
    assert account.tokens["wasted"] == 20
    assert account.steps == {"again": 1, "resolve": 1}


def test_both_halves_of_a_pair_start_one_after_the_other() -> None:
    order = titles(40, hot=0.2, pairs=0.2)
    assert len(set(order)) == 40
    for title in order:
        if title.startswith("rename"):
            assert order[order.index(title) + 1] == title.replace("rename", "use")

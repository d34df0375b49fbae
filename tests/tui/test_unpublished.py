"""A run whose branches could not be written says so last, and the command that it prints gets the result."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.command_line import PROGRAM, Answer, Person

SAMPLE = Path(__file__).parent.parent.parent / "sample_projects" / "notes" / "project"


def project(person: Person) -> Path:
    """The project of a sample as a repository of the person's."""
    shutil.copytree(SAMPLE, person.repo, dirs_exist_ok=True)
    person.commit()
    return person.repo


def run_in(person: Person, before: str) -> Answer:
    """A run of the program in a mount namespace of its own, after `before` was run there on the repository `$1`."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces cannot be made here")
    line = f'{before} || exit 77; shift; exec "$@"'
    user = [] if os.geteuid() == 0 else ["-r"]
    words = ("run", str(person.repo), "--intent", str(person.intent), "--model", "rehearsal:notes?speed=0")
    done = subprocess.run(
        ["unshare", *user, "-m", "sh", "-c", line, "sh", str(person.repo), str(PROGRAM), *words],
        cwd=person.home,
        env=person.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode == 77:
        pytest.skip("nothing can be mounted here")
    return Answer(done.returncode, done.stdout, done.stderr)


def read_only(person: Person) -> Answer:
    return run_in(person, 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"')


def read_only_refs(person: Person) -> Answer:
    return run_in(person, 'mount --bind "$1/.git/refs" "$1/.git/refs" && mount -o remount,bind,ro "$1/.git/refs"')


def branch_in_the_way(person: Person) -> Answer:
    """As soon as the run's branches exist, its folder of branches becomes a branch."""
    watch = """(while :; do for each in "$1"/.git/refs/heads/swarm/*; do
      [ -d "$each" ] && rm -r "$each" && git -C "$1" rev-parse main > "$each" && exit; done; sleep 0.01; done) &"""
    return run_in(person, f"{watch} true")


CASES = (read_only, read_only_refs, branch_in_the_way)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_result_that_was_not_written_is_not_announced(
    person: Person, tmp_path: Path, case: Callable[[Person], Answer]
) -> None:
    repo = project(person)
    answer = case(person)
    summary = answer.summary
    run, trunk = str(summary["run"]), str(summary["trunk"])
    assert answer.status == summary["exit_status"] == 1
    assert summary["state"] == "finished"
    assert trunk != summary["base"]
    assert answer.error.startswith("the root planner handed off done; ")
    assert f"swarm/{run}" in person.git("for-each-ref") or case is not branch_in_the_way
    assert f"{repo} has no branch swarm/{run}/trunk" in str(summary["unpublished"])
    assert f"git merge swarm/{run}" not in answer.err
    assert "(everything that landed)" not in answer.err
    fetch = str(summary["fetch"])
    assert f"to get it: {fetch}\n" in answer.err
    assert answer.hint == f"to get the result: {fetch}"
    other = tmp_path / "other"
    person.git("clone", "-q", str(repo), str(other), cwd=tmp_path)
    person.git(*shlex.split(fetch)[1:], cwd=other)
    assert person.git("rev-parse", "FETCH_HEAD", cwd=other) == trunk
    person.git("merge", "-q", "FETCH_HEAD", cwd=other)
    assert (other / "notes" / "commands" / "search.py").exists()


def test_a_result_that_was_written_is_announced(person: Person) -> None:
    project(person)
    answer = run_in(person, "true")
    summary = answer.summary
    assert answer.status == 0
    assert (summary["unpublished"], summary["fetch"]) == ("", "")
    assert f"to merge it: git merge swarm/{summary['run']}/trunk\n" in answer.err
    assert person.git("rev-parse", f"swarm/{summary['run']}/trunk") == summary["trunk"]

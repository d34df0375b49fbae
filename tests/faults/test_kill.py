"""SIGKILL at any time, then `resume`: the run ends as if undisturbed. Real git, SQLite and sandboxes."""

import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.faults.programs import PROGRAM, Case

KILLS = 9
"""Kills per run. A task that is lost ten times counts as the cause and fails, which another test covers."""


@pytest.mark.parametrize(
    ("sample", "model", "seed"),
    [
        ("load", "rehearsal:load?speed=0&planners=2&tasks=10&conflicts=0.5&shell=0&seed=1", 1),
        ("load", "rehearsal:load?speed=0&planners=0&tasks=10&conflicts=0.3&shell=0&seed=2", 2),
        ("load", "rehearsal:load?speed=0&planners=3&tasks=10&conflicts=0&shell=1&seed=3", 3),
        ("load", "rehearsal:load?speed=0&planners=1&tasks=10&conflicts=0.8&shell=0&seed=4", 4),
        ("notes", "rehearsal:notes?speed=0", 5),
    ],
)
def test_a_run_that_is_killed_repeatedly_ends_as_if_undisturbed(
    tmp_path: Path, sample: str, model: str, seed: int
) -> None:
    case = Case(tmp_path, sample, model)
    draw = random.Random(seed)
    while case.kills < KILLS:
        assert case.killed_after(draw.choice((draw.randrange(1, 12), draw.randrange(12, 60)))), case.said[-2000:]
        if case.kills == KILLS // 2:
            _listed_as_crashed(case)
    assert case.to_its_end() == 0, case.said[-3000:]
    case.none_survive()
    case.examine()


def _listed_as_crashed(case: Case) -> None:
    listed = subprocess.run([PROGRAM, "runs", "--json"], env=case.environ({}), capture_output=True, check=True)
    [run] = [msgspec.json.decode(line) for line in listed.stdout.splitlines()]
    assert (run["state"], run["live"], run["problem"]) == ("crashed", False, "")


POINTS = [
    ("conflict-told", 1),
    ("before-swap", 1),
    ("after-swap", 1),
    ("in-transaction", 1),
    ("in-publish", 1),
    ("after-commit", 1),
    ("after-swap", 2),
    ("before-green", 1),
    ("after-green", 1),
]
"""In an order in which each is reached: green moves last at the very end of a run, when nothing lands any more."""


def test_a_run_killed_during_landings_lands_everything_once(tmp_path: Path) -> None:
    case = Case(tmp_path, "load", "rehearsal:load?speed=0&planners=1&tasks=20&conflicts=0.6&shell=0&seed=7")
    for point, nth in POINTS:
        dying = (sys.executable, "-m", "tests.faults.dying", point, str(nth))
        here = Path(__file__).parents[2]
        case.killed_by_itself(case.started(program=dying, PYTHONPATH=str(here), SWARM_REPO_CHECK_LANDINGS="4"))
    assert case.kills == len(POINTS)
    assert case.to_its_end() == 0, case.said[-3000:]
    case.none_survive()
    case.examine()

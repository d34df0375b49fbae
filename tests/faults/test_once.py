"""Nothing is begun twice: a program that is killed and resumed continues every agent where it was."""

import os
import random
from pathlib import Path

import pytest

from tests.faults.programs import Case

LOAD = "rehearsal:load?speed=0.3&planners=3&tasks=36&conflicts=0.3&shell=0&seed=9"
DEMO = "rehearsal:markdown?speed=1"
"""At a pace at which models take most of the time, as they do: a kill finds few commands under way, each of which costs
a turn, because its outcome is unknown."""
KILLS = 5
MOST = 1.05
"""How many times the tokens of an undisturbed run a killed one may use."""
CASES = [("load", LOAD, 0), *(("markdown", DEMO, seed) for seed in range(int(os.environ.get("FAULT_SEEDS", "0"))))]


def tokens(case: Case) -> int:
    """What all complete model calls have used."""
    [(used,)] = case.ask("SELECT input_tokens + output_tokens FROM runs")
    return int(str(used))


def attempts(case: Case) -> dict[object, object]:
    """The number of attempts at each task. The demo has a task whose first one fails by itself."""
    return dict(case.ask("SELECT title, attempt FROM tasks WHERE kind = 'work'"))


def case_of(folder: Path, sample: str, model: str) -> Case:
    folder.mkdir()
    return Case(folder, sample, model, workers=8)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("sample", "model", "seed"), CASES)
def test_a_run_killed_five_times_begins_nothing_twice(tmp_path: Path, sample: str, model: str, seed: int) -> None:
    undisturbed = case_of(tmp_path / "undisturbed", sample, model)
    assert undisturbed.to_its_end() == 0, undisturbed.said[-3000:]
    killed, draw = case_of(tmp_path / "killed", sample, model), random.Random(seed)
    while killed.kills < KILLS:
        assert killed.killed_after(draw.randrange(60, 200), wait_s=draw.random() * 0.05), killed.said[-2000:]
    assert killed.to_its_end() == 0, killed.said[-3000:]
    killed.none_survive()
    killed.examine()
    assert killed.ask("SELECT count(*) > 0 FROM events WHERE kind = 'attempt_continued'") == [(1,)]
    assert attempts(killed) == attempts(undisturbed)
    assert tokens(killed) <= MOST * tokens(undisturbed)

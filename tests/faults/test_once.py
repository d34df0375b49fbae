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
FOR_AN_INTERRUPTED_CALL = 2
"""Turns that an interrupted tool call may cost: a look at what it has done, and the call again."""
CASES = [("load", LOAD, 0), *(("markdown", DEMO, seed) for seed in range(int(os.environ.get("FAULT_SEEDS", "0"))))]


def openings(case: Case) -> dict[tuple[str, str], int]:
    """How often each agent was given its intent, slice or task."""
    opening = " OR ".join(f"e.body ->> 'given' LIKE '# {kind}%'" for kind in ("Intent", "Slice", "Task"))
    return _counted(case, f"e.kind = 'turn_taken' AND ({opening})")


def turns(case: Case) -> dict[tuple[str, str], int]:
    """The complete model calls of each agent that a message did not set off."""
    return _counted(case, "e.kind = 'turn_taken' AND json_array_length(e.body, '$.consumed') = 0")


def interrupted(case: Case) -> dict[tuple[str, str], int]:
    """The tool calls of each agent whose outcome is unknown."""
    return _counted(case, "e.kind = 'tool_finished' AND e.body ->> 'state' = 'interrupted'")


def conflicts(case: Case) -> set[tuple[str, str]]:
    return set(_counted(case, "e.kind = 'landing_finished' AND e.body ->> '$.landing.state' = 'conflicted'"))


def _counted(case: Case, events: str) -> dict[tuple[str, str], int]:
    """How many such events each agent has, by role and title."""
    rows = case.ask(
        f"SELECT a.role, a.title, count(*) FROM events e JOIN agents a ON a.id = e.agent WHERE {events} GROUP BY 1, 2"
    )
    return {(str(role), str(title)): int(str(count)) for role, title, count in rows}


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
    first, again = openings(undisturbed), openings(killed)
    assert again == first
    assert {count for (role, _), count in again.items() if role == "planner"} == {1}
    expected, taken, cut = turns(undisturbed), turns(killed), interrupted(killed)
    # Who meets a conflict, and how many messages a planner gets at once, is a matter of time in any run.
    comparable = {agent for agent in expected if agent[0] == "worker"} - conflicts(undisturbed) - conflicts(killed)
    assert len(comparable) > len(expected) / 2
    for agent in comparable:
        assert taken[agent] - expected[agent] <= FOR_AN_INTERRUPTED_CALL * cut.get(agent, 0), agent

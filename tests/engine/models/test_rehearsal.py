"""The rehearsal as an actor: it follows its playbook and reacts to what it is told, from the request alone."""

from pathlib import Path

import pytest

from engine.models.playbook import sample_folder
from engine.models.registry import Endpoint
from engine.models.rehearsal import RehearsalProvider
from engine.protocols import Clock, Randomness
from engine.settings import ProviderSettings
from tests.engine.models.stage import Stage, start_project


class StillClock(Clock):
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class NoRandomness(Randomness):
    def random(self) -> float:
        raise AssertionError("the rehearsal draws from the request alone")


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def provider(clock: StillClock) -> RehearsalProvider:
    return RehearsalProvider(Endpoint("rehearsal", ProviderSettings(), clock, NoRandomness()))


@pytest.mark.parametrize("order", [1, 2, 3])
async def test_the_notes_sample_ends_green_with_all_tasks_landed(
    provider: RehearsalProvider, tmp_path: Path, order: int
) -> None:
    trunk = tmp_path / "trunk"
    trunk.mkdir()
    start_project(sample_folder("notes") / "project", trunk)
    stage = Stage(provider, "notes?speed=0", trunk, check="python3 -m unittest -q", order=order)
    root = await stage.play((sample_folder("notes") / "INTENT.md").read_text())
    assert root.handoffs[-1]["status"] == "done"
    assert len(stage.landed) == 5
    assert stage.resolved
    assert stage.checks == [True]


@pytest.mark.parametrize(("planners", "conflicts"), [(0, 0), (3, 0.4)])
async def test_generated_load_lands_every_task(
    provider: RehearsalProvider, tmp_path: Path, planners: int, conflicts: float
) -> None:
    trunk = tmp_path / "trunk"
    trunk.mkdir()
    start_project(sample_folder("load") / "project", trunk)
    model = f"load?speed=0&planners={planners}&tasks=12&conflicts={conflicts}&seed=3&shell=0"
    stage = Stage(provider, model, trunk, check="python3 -m unittest -q")
    root = await stage.play("load")
    assert root.handoffs[-1]["status"] == "done"
    assert len(stage.landed) == 12
    assert bool(stage.resolved) == bool(conflicts)
    assert stage.checks == [True]


@pytest.mark.parametrize("order", [1, 2])
async def test_the_markdown_sample_is_repaired_and_a_planner_is_woken_after_it_was_done(
    provider: RehearsalProvider, tmp_path: Path, order: int
) -> None:
    trunk = tmp_path / "trunk"
    trunk.mkdir()
    start_project(sample_folder("markdown") / "project", trunk)
    stage = Stage(provider, "markdown?speed=0", trunk, check="python3 -m unittest -q", order=order)
    root = await stage.play((sample_folder("markdown") / "INTENT.md").read_text())
    assert root.handoffs[-1]["status"] == "done"
    assert stage.failed == []
    assert len(stage.landed) == len(set(stage.landed)) >= 24
    assert len(stage.resolved) >= 2
    assert stage.checks == [False, True]
    planners = [actor for actor in stage.actors if actor.kind in ("intent", "slice")]
    assert len(planners) == 4
    assert any(len(planner.handoffs) == 2 for planner in planners)
    again = {actor.title for actor in stage.actors if actor.attempt == 2}
    assert again == {"entities", "hard breaks"}

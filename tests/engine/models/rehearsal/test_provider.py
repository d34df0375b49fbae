"""The rehearsal follows its playbook and reacts to messages, using only the request."""

from pathlib import Path

import pytest

from engine.domain.conversation import Message, Request, Text, ToolAnswer
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.settings import ProviderSettings
from engine.models.endpoint import Endpoint
from engine.models.rehearsal.playbook import sample_folder
from engine.models.rehearsal.provider import RehearsalProvider
from engine.ports.protocols import Clock, Randomness
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


@pytest.mark.parametrize("order", [1])
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
async def test_every_task_of_a_generated_load_lands(
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


@pytest.mark.timeout(600)  # about 400 processes, one after another
@pytest.mark.parametrize("order", [1])
async def test_the_markdown_sample_repairs_trunk_and_wakes_a_finished_planner(
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


def asked(model: str, *more: Message) -> Request:
    return Request(model, "system", (Message("user", (Text("# Task: list command\n\n## Goal\n\nx"),)), *more), ())


async def test_waits_scale_with_the_speed(provider: RehearsalProvider, clock: StillClock) -> None:
    heard: list[str] = []
    await provider.ask(asked("notes?speed=0"), heard.append)
    assert clock.slept == []
    turn = await provider.ask(asked("notes?speed=1"), heard.append)
    once = sum(clock.slept)
    clock.slept.clear()
    await provider.ask(asked("notes?speed=2"), heard.append)
    assert 0.4 <= once < 10
    assert sum(clock.slept) == pytest.approx(2 * once)
    assert "".join(heard) == turn.message.text * 3


async def test_usage_counts_earlier_input_as_cached(provider: RehearsalProvider) -> None:
    first = await provider.ask(asked("notes?speed=0"), lambda text: None)
    answers = tuple(ToolAnswer(call.id, "1\tx" * 50) for call in first.message.calls)
    request = asked("notes?speed=0", first.message, Message("user", answers))
    second = await provider.ask(request, lambda text: None)
    assert first.usage.cached == 0
    assert second.usage.cached == first.usage.input < second.usage.input
    assert second.usage.usd == 0.0
    assert second == await provider.ask(request, lambda text: None)
    assert {call.id for call in first.message.calls}.isdisjoint({call.id for call in second.message.calls})


async def test_an_unknown_playbook_is_refused_without_a_retry(provider: RehearsalProvider) -> None:
    with pytest.raises(ModelError) as raised:
        await provider.ask(asked("nots"), lambda text: None)
    assert raised.value.kind is ModelErrorKind.REFUSED
    assert "notes" in str(raised.value)

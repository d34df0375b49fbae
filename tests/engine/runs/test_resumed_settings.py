"""Settings given when a run is resumed take effect, whatever was changed while it ran."""

from collections.abc import Callable

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.events import Event
from engine.domain.settings import ModelsSettings, Settings, SwarmSettings
from engine.domain.types import Agent, AgentId, AgentPath, ModelName, Role, RunId
from engine.runs.resumed_settings import changed_settings, resumed_settings
from engine.state.fold import fold
from engine.state.snapshot import Snapshot

FIRST, SECOND = ModelName("openai:first"), ModelName("openai:second")
STORED = Settings(models=ModelsSettings(FIRST, FIRST, FIRST, FIRST), swarm=SwarmSettings(workers=16))
ROOT = Agent(AgentId("a1"), AgentPath("root"), None, Role.PLANNER, FIRST, "root")


def run_with(*bodies: tuple[e.Body, AgentId | None]) -> Snapshot:
    """A run that was started with the stored settings, in which these events happened."""
    snapshot = Snapshot()
    models = {role.value: FIRST for role in Role}
    created = e.RunCreated(RunId("r"), "/repo", "main", e.t.CommitId("c"), "", models, "{}", "0")
    before: list[tuple[e.Body, AgentId | None]] = [(created, None), (e.WorkersLimited(16, "settings"), None)]
    for number, (body, agent) in enumerate([*before, (e.AgentSpawned(ROOT), None), *bodies], 1):
        fold(snapshot, Event(number, number, 1, body, agent))
    return snapshot


def resume(snapshot: Snapshot, change: Callable[[Settings], Settings]) -> tuple[Snapshot, Settings]:
    settings, given = resumed_settings(STORED, snapshot, change)
    for draft in changed_settings(snapshot, settings, given):
        fold(snapshot, Event(snapshot.seq + 1, 0, 2, draft.body, draft.agent))
    return snapshot, settings


def with_model(model: ModelName) -> Callable[[Settings], Settings]:
    return lambda settings: replace(settings, models=ModelsSettings(model, model, model, model))


def with_workers(number: int) -> Callable[[Settings], Settings]:
    return lambda settings: replace(settings, swarm=replace(settings.swarm, workers=number))


def unchanged(settings: Settings) -> Settings:
    return settings


def test_the_first_model_given_again_replaces_one_that_was_swapped_in() -> None:
    snapshot, settings = resume(run_with((e.ModelChanged(SECOND), None)), with_model(FIRST))
    assert set(snapshot.models.values()) == {FIRST}
    assert snapshot.agents[ROOT.id].model == FIRST
    assert settings.models.worker == FIRST


def test_the_first_model_given_again_replaces_one_of_a_subtree() -> None:
    snapshot, _ = resume(run_with((e.ModelChanged(SECOND), ROOT.id)), with_model(FIRST))
    assert snapshot.agents[ROOT.id].model == FIRST
    assert not snapshot.models_below


def test_a_model_that_was_swapped_in_stays_without_an_option() -> None:
    snapshot, settings = resume(run_with((e.ModelChanged(SECOND), None)), unchanged)
    assert set(snapshot.models.values()) == {SECOND}
    assert settings.models.worker == SECOND


def test_a_number_of_workers_given_again_replaces_a_changed_one_and_a_changed_one_stays_without() -> None:
    changed = run_with((e.WorkersLimited(4, "person"), None))
    assert resume(changed.copy(), with_workers(16))[0].workers_limit == 16
    snapshot, settings = resume(changed.copy(), unchanged)
    assert (snapshot.workers_limit, settings.swarm.workers) == (4, 4)

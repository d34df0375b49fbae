"""The settings of a run that is resumed: as they are now, with what the person gives with the command."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import asdict, replace

from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.setting_types import MOST
from engine.domain.settings import ModelsSettings, Settings
from engine.domain.types import ModelName, Role
from engine.state.snapshot import Snapshot

Change = Callable[[Settings], Settings]


class Given(Struct, frozen=True):
    """Which settings that can also change during a run the person gives anew: roles' models, the number of workers."""

    models: frozenset[Role]
    workers: bool


def resumed_settings(stored: Settings, snapshot: Snapshot, change: Change) -> tuple[Settings, Given]:
    """The stored settings as they were changed during the run, then changed by `change`; and what that gives."""
    marked = change(replace(stored, models=ModelsSettings(), swarm=replace(stored.swarm, workers=MOST)))
    given = Given(frozenset(role for role in Role if getattr(marked.models, role)), marked.swarm.workers != MOST)
    models = ModelsSettings(**{role.value: snapshot.models[role] for role in Role if role in snapshot.models})
    workers = snapshot.workers_limit if snapshot.workers_limit_by == "person" else 0
    live = replace(stored, models=models, swarm=replace(stored.swarm, workers=workers or stored.swarm.workers))
    return change(live), given


def changed_settings(snapshot: Snapshot, settings: Settings, given: Given) -> list[Draft]:
    """The events that put settings into force which the person gives anew, also over what was changed in subtrees."""
    drafts = []
    for role, chosen in asdict(settings.models).items():
        model = ModelName(chosen)
        in_use = {agent.model for agent in snapshot.agents.values() if agent.role == role and not agent.gone}
        in_use |= {snapshot.models.get(role, model), *snapshot.models_below.values()}
        if role in given.models and in_use - {model}:
            drafts.append(Draft(e.ModelChanged(model, Role(role))))
    if given.workers and settings.swarm.workers != snapshot.workers_limit:
        drafts.append(Draft(e.WorkersLimited(settings.swarm.workers, "settings")))
    return drafts

"""Chooses each role's model: the configured one, else a default of a provider whose key is set."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import astuple, replace

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import ModelsSettings, ProviderSettings, Settings
from engine.domain.types import ModelName, Role
from engine.models.registry import PROVIDERS, has_key, key_variable, split_model
from engine.models.rehearsal.provider import open_rehearsal


class Pair(NamedTuple):
    """A strong model for planning, and a cheaper one of the same provider for the many small tasks."""

    planner: ModelName
    worker: ModelName


DEFAULTS = {
    "anthropic": Pair(ModelName("anthropic:claude-opus-5-5"), ModelName("anthropic:claude-sonnet-5-5")),
    "openai": Pair(ModelName("openai:gpt-5.6-sol"), ModelName("openai:gpt-5.6-terra")),
}
"""In the order in which their keys are tried."""


def choose_models(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with a model for every role.

    Planner and worker default to each other's model, all other roles to the worker's. Raises SwarmError
    (provider) if no model is configured and no key is set, if a chosen provider's key is missing, or for an unknown
    rehearsal. The rehearsal is never a default.
    """
    chosen = settings.models
    if not chosen.planner and not chosen.worker:
        provider = next((name for name in DEFAULTS if has_key(name, _endpoint(settings, name), environ)), None)
        if provider is None:
            keys = " or ".join(PROVIDERS[name].key_env for name in DEFAULTS)
            raise SwarmError(
                ErrorKind.PROVIDER,
                f"no model is configured and no API key is set ({keys})",
                "export a key or pass --model PROVIDER:NAME; to try it without a key: swarm-tui demo",
            )
        planner, worker = DEFAULTS[provider]
    else:
        planner, worker = chosen.planner or chosen.worker, chosen.worker or chosen.planner
    others = {role.value: getattr(chosen, role) or worker for role in Role if role is not Role.PLANNER}
    models = ModelsSettings(planner=planner, **others)
    for model in dict.fromkeys(astuple(models)):
        provider, name = split_model(model)
        if provider == "rehearsal":
            open_rehearsal(name)
        endpoint = _endpoint(settings, provider)
        if not has_key(provider, endpoint, environ):
            raise SwarmError(
                ErrorKind.PROVIDER,
                f"no API key for {model}: {key_variable(provider, endpoint)} is not set",
                "export it, or choose another model with --model; to try it without a key: swarm-tui demo",
            )
    return replace(settings, models=models)


def _endpoint(settings: Settings, provider: str) -> ProviderSettings:
    return settings.providers.get(provider, ProviderSettings())

"""The registry of providers. A new provider is a module in `adapters/` and a line here.

A provider's module, and with it its SDK, is imported only when the provider is opened.
"""

import difflib
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from engine.domain.errors import ErrorKind, ExitStatus, SwarmError
from engine.domain.setting_types import check_web_address, is_this_machine
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName
from engine.models import adapters, rehearsal
from engine.models.endpoint import ANTHROPIC_ADDRESS, NO_KEY, OPENAI_ADDRESS, Endpoint
from engine.ports.protocols import Clock, Provider, Randomness


class Listing(Struct, frozen=True):
    """A provider: `load` imports its class; the variables with its key and address, and whether it costs money.

    `address` is its usual one. `keyless_elsewhere`: a server at a configured address may need no key.
    """

    load: Callable[[], Callable[[Endpoint], Provider]]
    key_env: str = ""
    base_url_env: str = ""
    address: str = ""
    keyless_elsewhere: bool = False
    paid: bool = True


PROVIDERS: dict[str, Listing] = {
    "anthropic": Listing(
        lambda: adapters.anthropic.AnthropicProvider, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ANTHROPIC_ADDRESS
    ),
    "openai": Listing(lambda: adapters.openai.OpenAIProvider, "OPENAI_API_KEY", "OPENAI_BASE_URL", OPENAI_ADDRESS),
    "openai-chat": Listing(
        lambda: adapters.openai_chat.OpenAIChatProvider,
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        OPENAI_ADDRESS,
        keyless_elsewhere=True,
    ),
    "rehearsal": Listing(lambda: rehearsal.provider.RehearsalProvider, paid=False),
}


def split_model(model: ModelName) -> tuple[str, str]:
    """Split `PROVIDER:NAME`. Raises SwarmError (provider) if it is malformed or the provider is unknown."""
    provider, colon, name = model.partition(":")
    if not colon or not name or not provider:
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"'{model}' is not a model name",
            f"write PROVIDER:NAME with one of {', '.join(PROVIDERS)}",
        )
    if provider not in PROVIDERS:
        near = difflib.get_close_matches(provider, PROVIDERS, n=1)
        known = f"did you mean {near[0]}:{name}?" if near else f"the providers are {', '.join(PROVIDERS)}"
        raise SwarmError(ErrorKind.PROVIDER, f"there is no provider '{provider}'", known)
    return provider, name


def key_variable(name: str, settings: ProviderSettings) -> str:
    """The environment variable with the provider's key; empty if it needs none."""
    return settings.api_key_env or PROVIDERS[name].key_env


def key_variables(settings: Mapping[str, ProviderSettings]) -> frozenset[str]:
    """All environment variables that may hold a provider's key."""
    chosen = {provider.api_key_env for provider in settings.values()}
    return frozenset(chosen | {listing.key_env for listing in PROVIDERS.values()}) - {""}


def has_key(name: str, settings: ProviderSettings, environ: Mapping[str, str]) -> bool:
    """Whether the provider's key is set or not needed."""
    listing = PROVIDERS[name]
    if not listing.key_env or environ.get(key_variable(name, settings)):
        return True
    return listing.keyless_elsewhere and not settings.api_key_env and bool(base_url(name, settings, environ))


def endpoint(
    name: str, settings: ProviderSettings, environ: Mapping[str, str], clock: Clock, randomness: Randomness
) -> Endpoint:
    """Build the endpoint from settings and environment. Raises SwarmError if the key is missing."""
    listing = PROVIDERS[name]
    address = base_url(name, settings, environ)
    variable = key_variable(name, settings)
    key = environ.get(variable, "").strip() if variable else ""
    if not has_key(name, settings, environ) or (variable and not key and settings.api_key_env):
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"provider '{name}' has no key: {variable} is not set",
            f"export {variable}, or try the rehearsal: swarm-tui demo",
            ExitStatus.UNUSABLE,
        )
    try:
        check_web_address(address)
    except SwarmError as error:
        message = f"the base_url of provider '{name}': {error.message}"
        raise SwarmError(ErrorKind.PROVIDER, message, error.hint) from None
    if not (key.isascii() and key.isprintable()):
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"{variable} has characters that no key has",
            f"export {variable} again, without line breaks, accents or quotation marks around it",
            ExitStatus.UNUSABLE,
        )
    if key and _is_open_to_others(address) and not settings.api_key_env:
        # The usual key was not meant for this server, and everybody on the way can read it.
        if not listing.keyless_elsewhere:
            raise SwarmError(
                ErrorKind.PROVIDER,
                f"the key in {variable} would be sent unencrypted to another machine ({urlsplit(address).hostname})",
                f'use an https:// address, or allow it with api_key_env = "{variable}" for this provider',
                ExitStatus.UNUSABLE,
            )
        key = ""
    return Endpoint(name, settings, clock, randomness, key or NO_KEY, address)


def _is_open_to_others(address: str) -> bool:
    return urlsplit(address).scheme == "http" and not is_this_machine(address)


def open_provider(made_from: Endpoint) -> Provider:
    """Import the provider's module and create the provider. Takes up to a second: the SDKs are slow to import."""
    return PROVIDERS[made_from.name].load()(made_from)


def base_url(name: str, settings: ProviderSettings, environ: Mapping[str, str]) -> str:
    """The provider's address from settings or environment; empty for the SDK's default."""
    variable = PROVIDERS[name].base_url_env
    return settings.base_url or (environ.get(variable, "") if variable else "")

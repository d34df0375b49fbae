"""What a provider is created from: its settings, key and address, a clock and randomness."""

from msgspec import Struct

from engine.domain.settings import ProviderSettings
from engine.ports.protocols import Clock, Randomness

ANTHROPIC_ADDRESS = "https://api.anthropic.com"
OPENAI_ADDRESS = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent as the key to a compatible server that needs no key."""


class Endpoint(Struct, frozen=True):
    """The argument of a provider's constructor. An empty `base_url` means the SDK's default.

    A constructor takes this one argument, does no I/O, and raises SwarmError (provider) for settings that cannot
    work. `name` becomes `Provider.name`. A provider waits only with `clock.sleep` and uses only `randomness`.
    """

    name: str
    settings: ProviderSettings
    clock: Clock
    randomness: Randomness
    key: str = ""
    base_url: str = ""

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, base_url={self.base_url!r})"  # never the key

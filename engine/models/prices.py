"""Prices and context windows, from the settings or from the offline list of the package genai-prices.

The list takes half a second to load, so it is loaded on first use. Nothing is ever fetched.
"""

from collections.abc import Mapping

from engine.domain.settings import ProviderSettings
from engine.domain.types import Usage
from engine.models import adapters
from engine.models.registry import PROVIDERS

DEFAULT_WINDOW = 128_000
COMPATIBLE_WINDOW = 32_000
"""For an unknown model on a compatible server: such servers are often started with short windows."""

WRITTEN = 1.25
"""The price of input written to a cache, relative to other input, where writing is charged: the same for Anthropic (its
five-minute cache) and OpenAI (from GPT-5.6 on)."""

_PER_MILLION = 1_000_000


class Prices:
    """Prices and windows. `base_urls` identifies the service behind a compatible endpoint by its address."""

    def __init__(self, settings: Mapping[str, ProviderSettings], base_urls: Mapping[str, str]) -> None:
        self._settings = settings
        self._base_urls = base_urls

    def price(self, provider: str, model: str, usage: Usage) -> float | None:
        """The usage's cost in USD; None if the price is unknown. The rehearsal costs nothing."""
        if not PROVIDERS[provider].paid:
            return 0.0
        own = self._settings.get(provider, ProviderSettings())
        if own.input_price is not None and own.output_price is not None:
            cached_price = own.input_price if own.cached_price is None else own.cached_price
            fresh = usage.input - usage.cached + (WRITTEN - 1) * usage.written
            total = fresh * own.input_price + usage.cached * cached_price + usage.output * own.output_price
            return total / _PER_MILLION
        found = self._find(provider, model)
        return adapters.price_list.usd(found, usage) if found is not None else None

    def window(self, provider: str, model: str) -> int:
        """The context window in tokens, input and output together."""
        own = self._settings.get(provider, ProviderSettings())
        if own.window > 0:
            return own.window
        if PROVIDERS[provider].paid:
            found = self._find(provider, model)
            if found is not None and found[1].context_window:
                return int(found[1].context_window)
        return COMPATIBLE_WINDOW if provider == "openai-chat" else DEFAULT_WINDOW

    def load(self) -> None:
        """Load the price list in the calling thread. Takes half a second the first time."""
        adapters.price_list.load()

    def _find(self, provider: str, model: str) -> "adapters.price_list.Entry | None":
        address = self._base_urls.get(provider, "") if provider == "openai-chat" else ""
        service = None if address else provider.removesuffix("-chat")
        return adapters.price_list.find(service, model, address or None)

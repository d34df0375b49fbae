"""Prices and context windows of models, from the list that ships with genai-prices. Loading it takes half a second."""

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider

from engine.domain.types import Usage

Entry = tuple[Provider, ModelInfo]


def load() -> None:
    """Load the list."""
    get_snapshot()


def find(service: str | None, model: str, address: str | None) -> Entry | None:
    """The entry of a model of a service, which is known by its name or its address."""
    try:
        return get_snapshot().find_provider_model(model, None, service, address)
    except LookupError:
        return None


def usd(entry: Entry, usage: Usage) -> float | None:
    """The price of the given usage; None when it is unknown."""
    service, model = entry
    counted = genai_prices.Usage(
        input_tokens=usage.input,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.written,
        output_tokens=usage.output,
    )
    try:
        return float(model.calc_price(counted, service).total_price)
    except (ValueError, LookupError, TypeError):
        return None

"""Prices and windows come from the settings or the bundled list; unknown ones stay unknown."""

import socket
from typing import NoReturn

import pytest

from engine.domain.settings import ProviderSettings
from engine.domain.types import Usage
from engine.models.prices import COMPATIBLE_WINDOW, DEFAULT_WINDOW, Prices

MILLION = 1_000_000


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("prices never come over the network")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_known_models_have_prices_and_windows() -> None:
    prices = Prices({}, {})
    assert prices.price("openai", "gpt-4o", Usage(MILLION, 0, 0)) == pytest.approx(2.5)
    assert prices.price("openai", "gpt-4o", Usage(MILLION, MILLION, 0)) == pytest.approx(1.25)
    assert prices.price("openai-chat", "gpt-4o", Usage(0, 0, MILLION)) == pytest.approx(10.0)
    assert prices.window("openai", "gpt-4o") == 128_000
    assert prices.window("anthropic", "claude-sonnet-4-5") == 200_000


def written(tokens: int) -> Usage:
    return Usage(tokens, 0, 0, written=tokens)


def test_input_written_to_a_cache_costs_more_where_the_provider_charges_for_it() -> None:
    prices = Prices({}, {})
    assert prices.price("anthropic", "claude-sonnet-4-5", Usage(100_000, 0, 0)) == pytest.approx(0.3)
    assert prices.price("anthropic", "claude-sonnet-4-5", written(100_000)) == pytest.approx(0.375)
    assert prices.price("anthropic", "claude-sonnet-4-5", Usage(100_000, 100_000, 0)) == pytest.approx(0.03)
    for model, times in (("gpt-4o", 1.0), ("gpt-5.6-terra", 1.25)):
        plain = prices.price("openai", model, Usage(100_000, 0, 0))
        assert plain
        assert prices.price("openai", model, written(100_000)) == pytest.approx(times * plain)
    own = Prices({"anthropic": ProviderSettings(input_price=2.0, output_price=10.0)}, {})
    assert own.price("anthropic", "x", written(MILLION)) == pytest.approx(2.5)


def test_the_price_of_an_unknown_model_is_unknown_rather_than_zero() -> None:
    prices = Prices({}, {"openai-chat": "http://127.0.0.1:8080/v1"})
    assert prices.price("anthropic", "no-such-model", Usage(1, 0, 1)) is None
    assert prices.price("openai-chat", "gpt-4o", Usage(1, 0, 1)) is None, "who knows what a server of one's own costs"
    assert prices.window("anthropic", "no-such-model") == DEFAULT_WINDOW
    assert prices.window("openai-chat", "qwen") == COMPATIBLE_WINDOW


def test_a_compatible_service_is_identified_by_its_address() -> None:
    prices = Prices({}, {"openai-chat": "https://api.groq.com/openai/v1"})
    assert prices.price("openai-chat", "llama-3.3-70b-versatile", Usage(MILLION, 0, 0)) == pytest.approx(0.59)


def test_settings_take_precedence_over_the_price_list() -> None:
    own = ProviderSettings(input_price=2.0, cached_price=0.5, output_price=10.0, window=9_000)
    prices = Prices({"openai": own}, {})
    assert prices.price("openai", "gpt-4o", Usage(MILLION, MILLION // 2, MILLION)) == pytest.approx(11.25)
    assert prices.window("openai", "gpt-4o") == 9_000
    uncached = ProviderSettings(input_price=2.0, output_price=10.0)
    assert Prices({"openai": uncached}, {}).price("openai", "x", Usage(MILLION, MILLION, 0)) == pytest.approx(2.0)


def test_the_rehearsal_costs_nothing() -> None:
    assert Prices({}, {}).price("rehearsal", "markdown", Usage(MILLION, 0, MILLION)) == 0.0

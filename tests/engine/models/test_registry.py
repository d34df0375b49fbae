"""Model names, keys and addresses, before any provider is loaded."""

import subprocess
import sys

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName
from engine.models.endpoint import NO_KEY, Endpoint
from engine.models.registry import PROVIDERS, endpoint, has_key, open_provider, split_model
from tests.simulated.time import SeededRandomness, SimulatedClock

DEFAULT = ProviderSettings()


def made(name: str, environ: dict[str, str], settings: ProviderSettings = DEFAULT) -> Endpoint:
    return endpoint(name, settings, environ, SimulatedClock(), SeededRandomness(1))


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_registered_provider_loads(name: str) -> None:
    assert isinstance(PROVIDERS[name].load(), type)


def test_a_model_name_keeps_everything_after_its_first_colon() -> None:
    assert split_model(ModelName("openai-chat:llama3:8b")) == ("openai-chat", "llama3:8b")
    assert split_model(ModelName("rehearsal:load?speed=0&tasks=4")) == ("rehearsal", "load?speed=0&tasks=4")


@pytest.mark.parametrize("name", ["gpt-4o", ":x", "openai:", ""])
def test_a_name_without_a_provider_is_refused(name: str) -> None:
    with pytest.raises(SwarmError, match="not a model name"):
        split_model(ModelName(name))


def test_a_misspelt_provider_gets_the_nearest_name_as_a_hint() -> None:
    with pytest.raises(SwarmError) as caught:
        split_model(ModelName("antropic:claude"))
    assert caught.value.hint == "did you mean anthropic:claude?"


def test_keys_and_addresses_come_from_the_environment_or_the_settings() -> None:
    environ = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "https://there/v1", "OTHER": "sk-2"}
    assert (made("openai", environ).key, made("openai", environ).base_url) == ("sk-1", "https://there/v1")
    own = ProviderSettings(base_url="http://here/v1", api_key_env="OTHER")
    assert (made("openai", environ, own).key, made("openai", environ, own).base_url) == ("sk-2", "http://here/v1")


def test_a_missing_key_names_its_variable() -> None:
    for name, variable in (("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY")):
        assert not has_key(name, DEFAULT, {})
        with pytest.raises(SwarmError, match=variable):
            made(name, {})
    with pytest.raises(SwarmError, match="MY_KEY"):
        made("openai-chat", {}, ProviderSettings(base_url="http://here/v1", api_key_env="MY_KEY"))


def test_a_compatible_server_at_a_configured_address_needs_no_key() -> None:
    own = ProviderSettings(base_url="http://127.0.0.1:8080/v1")
    assert has_key("openai-chat", own, {})
    assert made("openai-chat", {}, own).key
    with pytest.raises(SwarmError):
        made("openai-chat", {})


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(SwarmError, match="not a web address"):
        made("openai", {"OPENAI_API_KEY": "sk-1"}, ProviderSettings(base_url="localhost:8080"))


def test_an_endpoint_does_not_show_its_key() -> None:
    assert "sk-secret" not in repr(made("openai", {"OPENAI_API_KEY": "sk-secret"}))


@pytest.mark.parametrize("name", PROVIDERS)
async def test_every_listed_provider_opens(name: str) -> None:
    provider = open_provider(made(name, {PROVIDERS[name].key_env: "sk-1"}))
    assert provider.name == name
    await provider.close()


def test_the_registry_loads_no_sdk() -> None:
    look = (
        "import sys, engine.models.client; print({'anthropic', 'openai', 'httpx2', 'genai_prices'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.parametrize(
    "address",
    [
        "http://models.example.com/v1",
        "http://10.0.0.5:8080/v1",
        "http://127.0.0.1.example.com/v1",
        "http://localhost.example.com/v1",
        "http://127.1/v1",
        "http://0x7f000001/v1",
        "http://[::ffff:10.0.0.5]/v1",
        "http://127.0.0.1@example.com/v1",
        "HTTP://EXAMPLE.COM/v1",
        "http://0.0.0.0:80/v1",
    ],
)
def test_a_key_is_not_sent_unencrypted_to_another_machine_unless_the_settings_name_its_variable(address: str) -> None:
    environ = {"OPENAI_API_KEY": "sk-paid", "ANTHROPIC_API_KEY": "sk-paid", "LAN_KEY": "sk-lan"}
    there = ProviderSettings(base_url=address)
    for name in ("openai", "anthropic"):
        with pytest.raises(SwarmError) as caught:
            made(name, environ, there)
        assert "sk-paid" not in caught.value.message + caught.value.hint
    if "@" not in address:
        assert made("openai-chat", environ, there).key == NO_KEY
        assert made("openai", environ, ProviderSettings(base_url=address, api_key_env="LAN_KEY")).key == "sk-lan"
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        with pytest.raises(SwarmError):
            made(variable.partition("_")[0].lower(), environ | {variable: address})


@pytest.mark.parametrize(
    "address",
    [
        "https://models.example.com/v1",
        "http://127.0.0.1:8080/v1",
        "http://localhost:1/v1",
        "http://[::1]/v1",
        "http://127.8.8.8/v1",
    ],
)
def test_a_key_is_sent_encrypted_or_within_this_machine(address: str) -> None:
    for name in ("openai", "openai-chat", "anthropic"):
        environ = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-1"}
        assert made(name, environ, ProviderSettings(base_url=address)).key == "sk-1"


def test_a_password_in_an_address_from_the_environment_is_refused_and_not_repeated() -> None:
    for address in ("https://me:hunter2@example.com/v1", "hunter2@example.com", "https://example.com/v1?key=hunter2"):
        with pytest.raises(SwarmError) as caught:
            made("openai", {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": address})
        assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("key", ["secret\nkey", "secret\x00key", "secret key\r", "sécret", "secret\u200bkey"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(SwarmError, match="OPENAI_API_KEY") as caught:
        made("openai", {"OPENAI_API_KEY": f"a{key}a"})
    assert "cret" not in caught.value.message + caught.value.hint

"""The shared HTTP client: which proxy a call goes through."""

import asyncio

import httpx2
import pytest

from engine.domain.errors import ModelError
from engine.domain.settings import ProviderSettings
from engine.models.adapters.http_client import http_client


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_call_to_this_machine_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    address = f"http://{host}:1/v1"
    async with server, http_client(ProviderSettings(), address) as client:
        with pytest.raises(httpx2.TransportError):
            await client.get(address, headers={"x-api-key": "sk-paid"})
    assert heard == []


async def test_a_call_to_another_machine_goes_through_the_users_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        heard.set()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for variable in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    async with server, http_client(ProviderSettings(), "https://models.invalid/v1") as client:
        with pytest.raises(ModelError, match=f"through the proxy http://127.0.0.1:{port}"):
            await client.get("https://models.invalid/v1")
    assert heard.is_set()

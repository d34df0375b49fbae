"""The shared HTTP client of an endpoint: pools sized to its calls, timeouts from settings, no redirects."""

import itertools
from collections.abc import AsyncIterator
from typing import Any
from urllib.request import getproxies

import httpx2

from engine.domain.setting_types import is_this_machine
from engine.domain.settings import ProviderSettings
from engine.models.adapters.sse import MAX_BYTES
from engine.models.endpoint import Endpoint

CONNECT_TIMEOUT = 15.0
IDLE_CONNECTION = 20.0
"""Seconds to keep an idle connection: agents call again within seconds, servers close after a minute."""

CALLS_PER_POOL = 24
"""A pool walks all its connections at every event. CPU per call at 200 concurrent calls (60 KB up, 40 events down): one
pool 8.0 ms, pools of this size 6.1 ms; aiohttp's transport 3.9 ms, but with eight more packages."""


class _Pools(httpx2.AsyncBaseTransport):
    """Several connection pools behind one client, used round-robin; they share one SSL context."""

    def __init__(self, calls: int) -> None:
        number = -(-calls // CALLS_PER_POOL)
        context = httpx2.create_ssl_context()
        limits = httpx2.Limits(
            max_connections=calls + 8,  # one pool may get all long calls, so no pool is limited further
            max_keepalive_connections=CALLS_PER_POOL,
            keepalive_expiry=IDLE_CONNECTION,
        )
        self._pools = [httpx2.AsyncHTTPTransport(verify=context, limits=limits) for _ in range(number)]
        self._next = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await next(self._next).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A response body with a size limit: the SDKs read error bodies whole."""

    def __init__(self, body: httpx2.AsyncByteStream, limit: int) -> None:
        self._body = body
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._body:
            size += len(part)
            if size > self._limit:
                raise httpx2.ReadError(f"the answer is longer than {self._limit} bytes")
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") not in ("identity", ""):
        raise httpx2.DecodingError("the server compressed its answer although the request forbids it")
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, MAX_BYTES + 65_536)


def timeouts(settings: ProviderSettings) -> httpx2.Timeout:
    """A short connect timeout; between two pieces of an answer, the stall timeout."""
    patience = max(settings.stall_timeout, 0.1)
    return httpx2.Timeout(connect=min(CONNECT_TIMEOUT, patience), read=patience, write=patience, pool=None)


def sdk_options(endpoint: Endpoint, default_address: str) -> dict[str, Any]:
    """What every SDK's client is created with. Retries are left to the engine's own client."""
    return {
        "api_key": endpoint.key,
        "base_url": endpoint.base_url or default_address,
        "max_retries": 0,
        "timeout": timeouts(endpoint.settings),
        "http_client": http_client(endpoint.settings, endpoint.base_url or default_address),
    }


def http_client(settings: ProviderSettings, address: str) -> httpx2.AsyncClient:
    """The client for a server's `address`. Proxies and certificates come from the environment as usual.

    What is meant for this machine goes through no proxy.

    Redirects are refused: a key goes to the configured address, or nowhere.
    """
    calls = max(settings.max_concurrent, 1)
    limits = httpx2.Limits(max_connections=calls + 8, max_keepalive_connections=calls, keepalive_expiry=IDLE_CONNECTION)
    proxied = bool(getproxies()) and not is_this_machine(address)
    return httpx2.AsyncClient(
        timeout=timeouts(settings),
        limits=limits,
        transport=None if proxied else _Pools(calls),  # a client with a custom transport ignores proxies
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [_bound]},
    )

"""The shared HTTP client of an endpoint: pools sized to its calls, timeouts from settings, no redirects."""

import itertools
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import zstandard

from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.settings import ProviderSettings
from engine.models.adapters.error_mapping import shown
from engine.models.adapters.sse import MAX_BYTES
from engine.models.certificates import named_certificates
from engine.models.endpoint import Endpoint
from engine.models.proxies import Proxy, proxy_for

CONNECT_TIMEOUT = 15.0
IDLE_CONNECTION = 20.0
"""Seconds to keep an idle connection: agents call again within seconds, servers close after a minute."""

CALLS_PER_POOL = 24
"""A pool walks all its connections at every event. CPU per call at 200 concurrent calls (60 KB up, 40 events down): one
pool 8.0 ms, pools of this size 6.1 ms; aiohttp's transport 3.9 ms, but with eight more packages."""

_PROXY_REFUSES = re.compile(r"40[37]\b|Requested .* but got|Invalid username|.*not allowed by ruleset")
"""What httpx says of a proxy that wants another user or password, or forbids the server."""
_PIECE = 65_536
_ZSTD_PIECE = 256
"""Compressed bytes at a time: each three may stand for 128 KiB."""


class _Pools(httpx2.AsyncBaseTransport):
    """Several connection pools behind one client, used round-robin; they share one SSL context, and a proxy if any."""

    def __init__(self, calls: int, address: str, proxy: Proxy | None) -> None:
        number = -(-calls // CALLS_PER_POOL)
        encrypted = "https" in (address.partition(":")[0].lower(), proxy.scheme if proxy else "")
        if encrypted:
            context = named_certificates() or httpx2.create_ssl_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        limits = httpx2.Limits(
            max_connections=calls + 8,  # one pool may get all long calls, so no pool is limited further
            max_keepalive_connections=CALLS_PER_POOL,
            keepalive_expiry=IDLE_CONNECTION,
        )
        self._proxy = proxy
        through: httpx2.Proxy | None = None
        if proxy is not None:
            auth = (proxy.user, proxy.password) if proxy.user or proxy.password else None
            secure = context if proxy.scheme == "https" else None
            through = httpx2.Proxy(proxy.address, ssl_context=secure, auth=auth)
        self._pools = [httpx2.AsyncHTTPTransport(verify=context, limits=limits, proxy=through) for _ in range(number)]
        self._next = itertools.cycle(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises ModelError for a proxy that refuses, and what httpx raises, with the proxy's name."""
        pool = next(self._next)
        if self._proxy is None:
            return await pool.handle_async_request(request)
        try:
            response = await pool.handle_async_request(request)
        except Exception as error:
            said = str(error) or type(error).__name__
        else:
            if response.status_code != httpx2.codes.PROXY_AUTHENTICATION_REQUIRED:
                return response
            await response.aclose()
            said = "407 Proxy Authentication Required"
        message = f"no answer through the proxy {self._proxy}: {shown(said, self._proxy.password)}"
        raise ModelError(ModelErrorKind.REFUSED if _PROXY_REFUSES.match(said) else ModelErrorKind.RETRYABLE, message)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """A response body, decompressed and with a size limit: the SDKs read error bodies whole.

    Requests ask for no compression, but some proxies compress anyway.
    """

    def __init__(self, body: httpx2.AsyncByteStream, encoding: str, limit: int) -> None:
        self._body = body
        self._encoding = encoding
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = received = 0
        unpack = _UNPACKERS[self._encoding]()
        try:
            async for part in self._body:
                received += len(part)
                for piece in unpack(part):
                    size += len(piece)
                    if max(size, received) > self._limit:
                        raise httpx2.ReadError(f"the answer is longer than {self._limit} bytes")
                    yield piece
        except (zlib.error, zstandard.ZstdError) as error:
            raise httpx2.DecodingError(f"the server's {self._encoding} cannot be decompressed: {error}") from None

    async def aclose(self) -> None:
        await self._body.aclose()


def _inflater() -> Callable[[bytes], Iterator[bytes]]:
    """For gzip and deflate, in pieces of a bounded size, however much a few bytes expand to."""
    inflate: Any = None

    def unpack(data: bytes) -> Iterator[bytes]:
        nonlocal inflate
        while data:
            if inflate is None or inflate.eof:  # one member after another
                headed = data[0] & 0x0F == 8 or data[0] == 0x1F  # some send deflate without its header
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 32 if headed else -zlib.MAX_WBITS)
            while piece := inflate.decompress(data, _PIECE):
                yield piece
                data = inflate.unconsumed_tail
            data = inflate.unused_data

    return unpack


def _zstd() -> Callable[[bytes], Iterator[bytes]]:
    decompress = zstandard.ZstdDecompressor(max_window_size=MAX_BYTES).decompressobj(read_across_frames=True)

    def unpack(data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_PIECE):
            yield decompress.decompress(data[at : at + _ZSTD_PIECE])

    return unpack


_UNPACKERS: dict[str, Callable[[], Callable[[bytes], Iterator[bytes]]]] = {
    "": lambda: lambda data: iter((data,)),
    "gzip": _inflater,
    "x-gzip": _inflater,
    "deflate": _inflater,
    "zstd": _zstd,
}


async def _unpack(response: httpx2.Response) -> None:
    """Put a readable and bounded body in place of what arrives."""
    encoding = response.headers.pop("content-encoding", "").strip().lower()
    encoding = "" if encoding == "identity" else encoding
    if encoding not in _UNPACKERS:
        raise httpx2.DecodingError(
            f"the server compressed its answer ({encoding[:20]}) although the request forbids it"
        )
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Body(response.stream, encoding, MAX_BYTES + 65_536)


def timeouts(settings: ProviderSettings) -> httpx2.Timeout:
    """A short connect timeout. How long an answer may take, `exchange` says: it differs before the first byte."""
    patience = max(settings.stall_timeout, 0.1)
    return httpx2.Timeout(connect=min(CONNECT_TIMEOUT, patience), read=None, write=patience, pool=None)


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
    """The client for a server's `address`. Proxies and certificates come from the environment (see `proxies`).

    Redirects are refused: a key goes to the configured address, or nowhere. Raises SwarmError (provider) for a proxy
    or certificates that cannot be used.
    """
    return httpx2.AsyncClient(
        timeout=timeouts(settings),
        transport=_Pools(max(settings.max_concurrent, 1), address, proxy_for(address)),
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [_unpack]},
    )

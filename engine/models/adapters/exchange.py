"""One exchange with a server through its SDK: opens the stream, reads it to its end, maps every failure.

All three wire protocols go through here, so that nothing but ModelError and CancelledError leaves an adapter.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

import msgspec

from engine.domain.conversation import Turn
from engine.domain.errors import ModelError
from engine.domain.types import Usage
from engine.models.adapters.error_mapping import cut_short, status_failure, transport_failure
from engine.models.adapters.sse import ServerEvent, read_events
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_GRACE = 0.25
"""Seconds for a server to end its stream after its terminal event."""


class StreamedResponse(Protocol):
    """What the SDKs' streaming responses have in common. The status is a success."""

    @property
    def headers(self) -> object: ...

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]: ...


class Reader(Protocol):
    """Builds a turn from events."""

    def take(self, name: str, event: Json) -> None:
        """Handle an event. Raises ModelError if it reports a failure or is malformed."""
        ...

    @property
    def finished(self) -> bool:
        """Whether reading can stop."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the turn is complete even if the connection drops now."""
        ...

    def turn(self) -> Turn:
        """The turn. Raises ModelError if it is incomplete."""
        ...

    def spent(self) -> Usage:
        """The usage of an answer that broke off; zero if it has not begun."""
        ...


async def exchange(
    endpoint: Endpoint, open_stream: Callable[[], AbstractAsyncContextManager[StreamedResponse]], reader: Reader
) -> Turn:
    """One call's turn, built by `reader`. Raises ModelError with the usage so far."""
    try:
        await _receive(endpoint, open_stream, reader)
        return reader.turn()
    except ModelError as error:
        error.usage = reader.spent()
        raise


async def _receive(
    endpoint: Endpoint, open_stream: Callable[[], AbstractAsyncContextManager[StreamedResponse]], reader: Reader
) -> None:
    """Feed the call's events to `reader` until it has finished or the stream ends. Raises ModelError."""
    patience = max(endpoint.settings.stall_timeout, 0.1)
    try:
        opening = asyncio.timeout(patience)
        async with opening:
            manager = open_stream()
            response = await manager.__aenter__()
        try:
            async with aclosing(_read(response, endpoint, patience)) as events:
                async for event in events:
                    _feed(reader, event)
                    if reader.finished:
                        break
                await _drain(events)
        finally:
            await manager.__aexit__(None, None, None)
    except asyncio.CancelledError:
        raise
    except ModelError:
        raise
    except Exception as error:
        if reader.complete:
            return
        raise _named(error, endpoint) from None


async def _drain(events: AsyncGenerator[ServerEvent, None]) -> None:
    """Read to the end of the response, if it comes at once: only then can the connection be reused."""
    try:
        async with asyncio.timeout(_GRACE):
            async for _ in events:
                pass
    except Exception:  # noqa: S110 - the turn is whole, whatever happens now
        pass


async def _read(response: StreamedResponse, endpoint: Endpoint, patience: float) -> AsyncGenerator[ServerEvent, None]:
    seen = False
    async with aclosing(read_events(response.iter_bytes(), endpoint.clock, patience)) as events:
        async for event in events:
            seen = True
            yield event
    if not seen:
        kind = str(getattr(response.headers, "get", lambda *_: "")("content-type", ""))[:60]
        raise cut_short(f"the server sent no events but {kind or 'nothing'}")


def _feed(reader: Reader, event: ServerEvent) -> None:
    if event.data == b"[DONE]":
        reader.take("[DONE]", {})
        return
    try:
        decoded = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise cut_short("an event is not JSON") from None
    if not isinstance(decoded, dict):
        raise cut_short("an event is not an object")
    reader.take(event.name, decoded)


def _named(error: Exception, endpoint: Endpoint) -> ModelError:
    """Any exception as a ModelError. The SDKs' status errors are recognised by their shared attributes."""
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None)
    if response is not None and isinstance(status, int):
        body = getattr(error, "body", None)
        if status < 400:
            return status_failure(404, f"the server redirects to another address (status {status})", {}, 0)
        return status_failure(status, body, response.headers, endpoint.clock.now(), endpoint.key)
    return transport_failure(error, endpoint.key)

"""One exchange with a server through its SDK: opens the stream, reads it to its end, maps every failure.

All three wire protocols go through here, so that nothing but ModelError and CancelledError leaves an adapter.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from typing import Protocol

import msgspec

from engine.domain.conversation import Block, Message, Request, StopReason, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.error_mapping import cut_short, shown, status_failure, stream_failure, transport_failure
from engine.models.adapters.sse import DONE, QUOTED, ServerEvent, read_events
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_GRACE = 0.25
"""Seconds for a server to end its stream after its terminal event."""


AFTER_END = 20.0
"""Seconds to wait for the usage, or for more, after a finish reason: some servers give one with each piece."""

CHARS_PER_ASKED_TOKEN = 16
_ENOUGH = 65_536
"""An answer may have so many characters, and so many for each token of its limit: far more than any real one."""


class StreamedResponse(Protocol):
    """What the SDKs' streaming responses have in common. The status is a success."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]: ...


class Reader(ABC):
    """Builds a turn from the events of one answer.

    `begun`: something of the answer has arrived, so it costs. `finished`: reading can stop. `complete`: the turn is
    complete even if the connection drops now. `last`: the last event, for an error.
    """

    def __init__(
        self, endpoint: Endpoint, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None]
    ) -> None:
        self.endpoint = endpoint
        self.begun = False
        self.finished = self.complete = False
        self.last: Json = {}
        self._request = request
        self._on_text = on_text
        self._on_output = on_output
        self._characters = 0
        self._ids = wire.CallIds(request)

    @abstractmethod
    def take(self, name: str, event: Json) -> None:
        """Handle an event. Raises ModelError if it reports a failure or is malformed."""

    @abstractmethod
    def turn(self) -> Turn:
        """The complete turn. Raises ModelError if the answer contradicts itself."""

    @abstractmethod
    def spent(self) -> Usage:
        """The usage of an answer that broke off; zero if it has not begun."""

    def accepted(self) -> None:
        """The server has accepted the request."""
        self._on_output(0)

    def _hear(self, text: object) -> None:
        """Count a piece of the answer: text, reasoning or a tool call. Raises ModelError far beyond what was asked."""
        if not isinstance(text, str) or not text:
            return
        self._characters += len(text)
        if self._characters > _ENOUGH + CHARS_PER_ASKED_TOKEN * self._request.max_output:
            raise ModelError(
                ModelErrorKind.RETRYABLE, f"the answer is much longer than {self._request.max_output} tokens"
            )
        self._on_output(self._characters)

    def _say(self, text: object) -> None:
        if isinstance(text, str) and text:
            self._on_text(text)

    def _turn_of(self, blocks: list[Block], stop: StopReason, tokens: tuple[object, object, object, object]) -> Turn:
        """The turn of these blocks. Unless it was cut off or refused, it stops for tools exactly if it has calls."""
        if stop in (StopReason.END, StopReason.TOOLS):
            calls = any(isinstance(block, ToolCall) for block in blocks)
            stop = StopReason.TOOLS if calls else StopReason.END
        return Turn(Message("assistant", tuple(blocks)), stop, wire.usage(self._request, blocks, tokens))


def part_number(event: Json, key: str) -> int:
    """Which part of the answer an event is about. Raises ModelError."""
    number = event.get(key)
    if not isinstance(number, int):
        raise cut_short(f"an event without its {key}")
    return number


async def exchange(open_stream: Callable[[], AbstractAsyncContextManager[StreamedResponse]], reader: Reader) -> Turn:
    """One call's turn, built by `reader`. Raises ModelError with the usage so far."""
    try:
        await _receive(open_stream, reader)
        if not reader.complete:
            if _is_failure(reader.last):
                raise stream_failure(reader.last, reader.endpoint.key)
            last = msgspec.json.encode(reader.last).decode()[: 4 * QUOTED]
            raise cut_short(f"it ended without a stop reason, after {shown(last, reader.endpoint.key)[:QUOTED]}")
        return reader.turn()
    except ModelError as error:
        error.usage = reader.spent()
        raise


def _is_failure(event: Json) -> bool:
    """Whether an event says why there is no answer, in the form of a gateway that gives every failure status 200."""
    status = wire.json_object(event.get("base_resp")).get("status_code")
    return bool(status) or any(wire.text_of(event.get(key)) for key in ("message", "msg", "detail"))


async def _receive(open_stream: Callable[[], AbstractAsyncContextManager[StreamedResponse]], reader: Reader) -> None:
    """Feed the call's events to `reader` until it has finished or the stream ends. Raises ModelError."""
    endpoint = reader.endpoint
    stall = max(endpoint.settings.stall_timeout, 0.1)
    first = endpoint.settings.first_byte_timeout or stall
    awaited = f"no answer has begun within {first:g} s"
    try:
        async with asyncio.timeout(first) as limit, AsyncExitStack() as stack:

            async def chunks() -> AsyncGenerator[bytes, None]:
                nonlocal awaited
                async for chunk in response.iter_bytes():
                    awaited = f"the server has sent nothing for {stall:g} s"
                    limit.reschedule(asyncio.get_running_loop().time() + stall)
                    yield chunk

            response = await stack.enter_async_context(open_stream())
            reader.accepted()
            kind = response.headers.get("content-type", "")
            pieces = await stack.enter_async_context(aclosing(chunks()))
            reading = read_events(pieces, endpoint.clock, stall, first, content_type=kind, secret=endpoint.key)
            events = await stack.enter_async_context(aclosing(reading))
            async for event in events:
                _feed(reader, event)
                if reader.complete:  # some servers neither end the stream nor close it
                    limit.reschedule(asyncio.get_running_loop().time() + min(stall, AFTER_END))
                if reader.finished:
                    break
            await _drain(events)
    except Exception as error:
        if reader.complete:  # whatever came after
            return
        if isinstance(error, TimeoutError):
            raise ModelError(ModelErrorKind.RETRYABLE, awaited) from None
        raise (error if isinstance(error, ModelError) else _named(error, endpoint)) from None


async def _drain(events: AsyncGenerator[ServerEvent, None]) -> None:
    """Read to the end of the response, if it comes at once: only then can the connection be reused."""
    with suppress(Exception):  # the turn is complete, whatever happens now
        async with asyncio.timeout(_GRACE):
            async for _ in events:
                pass


def _feed(reader: Reader, event: ServerEvent) -> None:
    data = event.data
    if data.get("error") or "error" in (event.name, data.get("type"), data.get("object")):
        raise stream_failure(data, reader.endpoint.key)
    reader.last = data
    reader.take(event.name, data)
    reader.begun = reader.begun or event.name != DONE


def _named(error: Exception, endpoint: Endpoint) -> ModelError:
    """Any exception as a ModelError. The SDKs' status errors are recognised by their shared attributes."""
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None)
    if isinstance(error.__cause__, ModelError):
        return error.__cause__
    if response is not None and isinstance(status, int):
        body = getattr(error, "body", None)
        if status < 400:
            target = shown(response.headers.get("location", "").partition("?")[0], endpoint.key)[:QUOTED]
            said = f"the server redirects to another address (status {status}), set base_url to it if it is right: "
            return status_failure(404, said + (target or "none given"), {}, 0)
        return status_failure(status, body, response.headers, endpoint.clock.now(), endpoint.key)
    return transport_failure(error, endpoint.key)

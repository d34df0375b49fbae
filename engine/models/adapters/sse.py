"""Reads server-sent events: bytes in, complete events out, with limits on size and idle time.

The SDKs decode events without limits and with lenient JSON, so their streams are read raw.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from engine.domain.errors import ModelError, ModelErrorKind
from engine.ports.protocols import Clock

MAX_BYTES = 8 * 1024 * 1024
"""The most bytes of one turn. With most providers, the longest turns (128,000 tokens, one event each) stay below it."""

QUIET_SPANS = 5
"""A stream that sends only pings counts as stalled after this many stall timeouts."""


class ServerEvent(NamedTuple):
    """One server-sent event; `name` may be empty."""

    name: str
    data: bytes


class EventParser:
    """Splits a stream of byte chunks into server-sent events.

    Lines end in LF or CRLF. An event without its closing empty line is dropped, as the specification says.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._scanned = 0
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        rest = self._rest
        rest += chunk
        start = 0
        while (end := rest.find(b"\n", max(start, self._scanned))) >= 0:
            line = bytes(rest[start : end - 1 if end > start and rest[end - 1] == 13 else end])
            start = end + 1
            if line:
                self._take(line)
            elif self._data:
                events.append(ServerEvent(self._name, b"\n".join(self._data)))
                self._name, self._data = "", []
            else:
                self._name = ""
        del rest[:start]
        self._scanned = len(rest)
        return events

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")[:100]


async def read_events(
    chunks: AsyncIterator[bytes], clock: Clock, stall_timeout: float, max_bytes: int = MAX_BYTES
) -> AsyncGenerator[ServerEvent, None]:
    """The events of a stream until its end.

    The transport's read timeout detects silence; this function gives up on a stream that only sends pings for too long
    or grows too large. Raises ModelError, and what the transport raises.
    """
    parser = EventParser()
    size = 0
    progress = clock.monotonic()
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise ModelError(ModelErrorKind.RETRYABLE, f"the answer is longer than {max_bytes} bytes")
        for event in parser.feed(chunk):
            if event.name != "ping":
                progress = clock.monotonic()
            yield event
        if clock.monotonic() - progress > stall_timeout * QUIET_SPANS:
            raise ModelError(ModelErrorKind.RETRYABLE, "the answer stalled: the server sends only pings")

"""Reads the events of an answer: bytes in, JSON objects out, with limits on size and idle time.

The SDKs decode events without limits and stop at the first that they do not know. Servers, and the proxies before them,
send more than the specification has. What carries nothing (pings, empty or plain text) is skipped, and so are missing
empty lines, CR line ends, lines of JSON without a field (NDJSON), and an answer that is one JSON body.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import NamedTuple

import msgspec

from engine.domain.errors import ModelError, ModelErrorKind
from engine.models.adapters.error_mapping import cut_short, shown, without_tags
from engine.models.adapters.wire_format import Json
from engine.ports.protocols import Clock

MAX_BYTES = 8 * 1024 * 1024
"""The most bytes of one turn. With most providers, the longest turns (128,000 tokens, one event each) stay below it."""

QUIET_SPANS = 5
"""A stream without any event, whatever else it sends, counts as stalled after this many stall timeouts."""

DONE = "[DONE]"
"""The name of the event that ends a stream of Chat Completions."""

QUOTED = 160
"""Characters of what was received that an error repeats."""

_PINGS = frozenset({"ping", "keepalive", "keep-alive", "heartbeat"})
_BROKEN = "an event is not JSON"
_BOM = b"\xef\xbb\xbf"
_OPENS = re.compile(r"[{\[]")
_LENIENT = json.JSONDecoder(strict=False)


class ServerEvent(NamedTuple):
    """One event; `name` may be empty."""

    name: str
    data: Json


class EventParser:
    """Splits a stream of byte chunks into events. Raises ModelError for an event that is broken JSON."""

    def __init__(self, secret: str = "") -> None:
        self._secret = secret
        self._rest = bytearray()
        self._scanned = 0
        self._after_cr = False
        self._name = ""
        self._data: list[bytes] = []
        self._ready: list[ServerEvent] = []
        self._bare = False
        """Whether `_data` are lines without a field: JSON that is no event stream."""

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r") or (self._after_cr and not chunk)
        rest = self._rest
        rest += chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in chunk else chunk
        start = 0
        try:
            while (end := rest.find(b"\n", max(start, self._scanned))) >= 0:
                line = bytes(rest[start:end])
                start = end + 1
                self._take(line)
                if self._ready:
                    yield from self._given()
        finally:
            del rest[:start]
            self._scanned = len(rest)

    def close(self) -> Iterator[ServerEvent]:
        """What the end of the stream completes: an event without its closing empty line, or a whole JSON body."""
        self._take(bytes(self._rest))
        yield from self._given()
        self._end("it ended inside an event")
        yield from self._given()

    def _given(self) -> list[ServerEvent]:
        ready, self._ready = self._ready, []
        return ready

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data: {") and not self._data:  # the usual line; the rest is the same, but slower
            self._data.append(line[6:].rstrip())
            return
        line = line.removeprefix(_BOM).strip()
        if not line:
            if self._data and not self._bare:
                self._end()
            self._name = self._name if self._bare else ""
            return
        field, colon, value = line.partition(b":")
        field = field.rstrip().lower()
        if field in (b"data", b"event") and (colon or field == line.lower()):
            if self._bare:  # the stream goes on: they carried nothing
                self._data, self._bare = [], False
            if field == b"data":
                self._add(value.strip())
                return
            if self._data:
                self._end()
            self._name = value.strip().decode("utf-8", "replace")[:100]
        elif self._bare:
            self._data.append(line)
        elif line.startswith((b"{", b"[")):
            if self._data:
                self._end()
            try:
                self._decode(self._name, line)
                self._name = ""
            except ValueError:
                self._data, self._bare = [line], True

    def _add(self, value: bytes) -> None:
        while value.startswith(b"data:"):  # some proxies wrap what is wrapped
            value = value[5:].strip()
        opens = value.startswith((b"{", b"["))
        closed = bool(self._data) and self._data[-1].endswith((b"}", b"]"))
        if opens and closed:  # no JSON value has these neighbours
            self._end()
        if opens or (self._data and not closed) or (closed and value.startswith((b"}", b"]", b","))):
            self._data.append(value)

    def _end(self, broken: str = _BROKEN) -> None:
        """The pending event is complete. `broken` says what is wrong if it is no whole object."""
        lines, name = self._data, self._name
        self._data, self._name, self._bare = [], "", False
        whole = b"\n".join(lines)
        try:
            self._decode(name, whole)
        except ValueError:
            if whole.startswith(b"{") and name not in _PINGS:
                said = shown(whole[: 4 * QUOTED].decode("utf-8", "replace"), self._secret)[:QUOTED]
                raise cut_short(f"{broken}: {said}") from None

    def _decode(self, name: str, text: bytes) -> None:
        """Raises ValueError for what is no JSON."""
        if text == b"[DONE]":
            self._ready.append(ServerEvent(DONE, {}))
            return
        try:
            values = [msgspec.json.decode(text)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            values = _in_a_row(text.decode("utf-8", "replace"))
        for value in values:
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, dict) and item and not _is_ping(name, item):
                    self._ready.append(ServerEvent(name, item))


def _is_ping(name: str, event: Json) -> bool:
    return (event.get("type") or name) in _PINGS and "choices" not in event


def _in_a_row(text: str) -> list[object]:
    """The JSON values of a text that holds several, or characters that JSON does not allow. Raises ValueError."""
    values: list[object] = []
    at = 0
    try:
        while opening := _OPENS.search(text, at):
            value, at = _LENIENT.raw_decode(text, opening.start())
            values.append(value)
        msgspec.json.encode(values)  # raises for half a surrogate pair, which nothing could store
    except RecursionError as error:
        raise ValueError("too deep") from error
    return values


async def read_events(
    chunks: AsyncIterator[bytes],
    clock: Clock,
    stall_timeout: float,
    first_timeout: float = 0.0,
    *,
    content_type: str = "",
    secret: str = "",
    max_bytes: int = MAX_BYTES,
) -> AsyncGenerator[ServerEvent, None]:
    """The events of a stream until its end.

    Whoever reads detects silence; this function gives up on a stream that sends no event for too long, grows too large
    or ends without an event. Raises ModelError, and what the transport raises.
    """
    parser = EventParser(secret)
    size = 0
    beginning = b""
    seen = False
    quiet = max(stall_timeout * QUIET_SPANS, first_timeout)
    progress = clock.monotonic()
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise ModelError(ModelErrorKind.RETRYABLE, f"the answer is longer than {max_bytes} bytes")
        if len(beginning) < 20 * QUOTED:
            beginning += chunk[: 20 * QUOTED]
        for event in parser.feed(chunk):
            progress, seen, quiet = clock.monotonic(), True, stall_timeout * QUIET_SPANS
            yield event
        if clock.monotonic() - progress > quiet:
            raise ModelError(ModelErrorKind.RETRYABLE, f"the answer stalled: only pings for {quiet:g} s")
    for event in parser.close():
        seen = True
        yield event
    if not seen:
        raise cut_short(_received(beginning.decode("utf-8", "replace").strip(), content_type, secret))


def _received(text: str, content_type: str, secret: str) -> str:
    """What a server sent instead of events, in one line."""
    kind = shown(content_type, secret)[:60]
    if not text:
        return f"the server sent an empty answer{f' ({kind})' if kind else ''}"
    if "html" in kind or text[:15].lower().startswith(("<!doctype", "<html")):
        said = shown(without_tags(text), secret)[:QUOTED]
        return f"the server sent a web page, maybe of a login or a wrong base_url: {said}"
    return f"the server sent no events but {kind or 'this'}: {shown(text, secret)[:QUOTED]}"

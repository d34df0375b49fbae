"""Anthropic's Messages API: encodes a conversation, decodes the stream into a turn."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import anthropic
import msgspec

from engine.domain.conversation import Block, Message, Opaque, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.error_mapping import cut_short, stream_failure
from engine.models.adapters.exchange import StreamedResponse, exchange
from engine.models.adapters.http_client import http_client, timeouts
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_STOPS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "pause_turn": StopReason.END,
    "tool_use": StopReason.TOOLS,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "refusal": StopReason.REFUSAL,
}
_CACHED: Json = {"type": "ephemeral"}


class AnthropicProvider:
    """The Messages API, through the official SDK."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._client = anthropic.AsyncAnthropic(
            api_key=endpoint.key,
            base_url=endpoint.base_url or "https://api.anthropic.com",
            max_retries=0,
            timeout=timeouts(endpoint.settings),
            http_client=http_client(endpoint.settings),
            open_telemetry=False,
        )

    async def ask(self, request: Request, on_text: Callable[[str], None]) -> Turn:
        """One streamed call. Raises ModelError."""
        reader = _Reader(request, self.name, on_text, self._endpoint.key)
        body = message_body(request, self.name, self._endpoint.settings.max_output)

        def open_stream() -> AbstractAsyncContextManager[StreamedResponse]:
            create = cast(Any, self._client.messages.with_streaming_response.create)
            return cast(AbstractAsyncContextManager[StreamedResponse], create(**body, stream=True))

        return await exchange(self._endpoint, open_stream, reader)

    async def close(self) -> None:
        await self._client.close()


def message_body(request: Request, provider: str, limit: int) -> Json:
    """The request's body for the Messages API.

    It has three cache breakpoints: one after the constant part (tools and system prompt), two at the last two user
    messages. The server searches its cache at most 20 blocks before a breakpoint, so after a turn with many calls only
    the breakpoint at the previous request's end finds the cached prefix.
    """
    system: list[Json] = [{"type": "text", "text": wire.clean(request.system)}] if request.system.strip() else []
    tools: list[Json] = [
        {"name": wire.wire_name(tool.name), "description": wire.clean(tool.description), "input_schema": tool.schema}
        for tool in request.tools
    ]
    if system:
        system[-1]["cache_control"] = _CACHED
    elif tools:
        tools[-1]["cache_control"] = _CACHED
    messages: list[Json] = []
    for role, blocks in wire.merged(request.messages, provider):
        messages.append({"role": role, "content": [_content(block) for block in blocks]})
    for message in [message for message in messages if message["role"] == "user"][-2:]:
        cast(list[Json], message["content"])[-1]["cache_control"] = _CACHED
    body: Json = {"model": request.model, "max_tokens": wire.max_output(request, limit), "messages": messages}
    return body | ({"system": system} if system else {}) | ({"tools": tools} if tools else {})


def _content(block: Block) -> Json:
    match block:
        case Text():
            return {"type": "text", "text": wire.clean(block.text)}
        case ToolCall():
            arguments = msgspec.json.decode(wire.wire_arguments(block.arguments))
            return {
                "type": "tool_use",
                "id": wire.wire_id(block.id),
                "name": wire.wire_name(block.tool),
                "input": arguments,
            }
        case ToolAnswer():
            answer: Json = {"type": "tool_result", "tool_use_id": wire.wire_id(block.id)}
            if block.text.strip():
                answer["content"] = wire.clean(block.text)
            return answer | ({"is_error": True} if block.error else {})
        case Opaque():
            return cast(Json, msgspec.json.decode(block.data))


class _Part:
    """A content block while it arrives: its start event and the pieces since."""

    def __init__(self, start: Json) -> None:
        self.start = start
        self.kind = start.get("type")
        self.pieces: list[str] = []
        self.signature: list[str] = []
        self.ended = False


class _Reader:
    def __init__(self, request: Request, provider: str, on_text: Callable[[str], None], secret: str) -> None:
        self._request = request
        self._provider = provider
        self._on_text = on_text
        self._secret = secret
        self._ids = wire.CallIds(request)
        self._parts: dict[int, _Part] = {}
        self._stop: str | None = None
        self._ended = False
        self._answer_id = ""
        self._usage: dict[str, int] = {}

    @property
    def finished(self) -> bool:
        return self._ended

    @property
    def complete(self) -> bool:
        return self._ended and self._stop is not None

    def take(self, name: str, event: Json) -> None:
        match event.get("type") or name:
            case "message_start":
                message = _object(event.get("message"))
                self._answer_id = str(message.get("id", ""))[:200]
                self._count(message.get("usage"))
            case "content_block_start":
                self._parts[_index(event)] = _Part(_object(event.get("content_block")))
                self._say(_object(event.get("content_block")).get("text"))
            case "content_block_delta":
                self._extend(self._part(event), _object(event.get("delta")))
            case "content_block_stop":
                self._part(event).ended = True
            case "message_delta":
                stop = _object(event.get("delta")).get("stop_reason")
                self._stop = stop if isinstance(stop, str) else self._stop
                self._count(event.get("usage"))
            case "message_stop":
                self._ended = True
            case "error":
                raise stream_failure(event, self._secret)

    def turn(self) -> Turn:
        """The turn. Raises ModelError unless a terminal event with a stop reason arrived."""
        if not self._ended or self._stop is None:
            raise cut_short("it ended without a stop reason")
        stop = _STOPS.get(self._stop, StopReason.END)
        blocks: list[Block] = []
        for _, part in sorted(self._parts.items()):
            blocks.extend(self._block(part, stop))
        calls = any(isinstance(block, ToolCall) for block in blocks)
        if calls and stop is StopReason.END:
            stop = StopReason.TOOLS
        elif not calls and stop is StopReason.TOOLS:
            stop = StopReason.END
        used = wire.usage(self._request, blocks, (*self._input(), self._usage.get("output_tokens")))
        return Turn(Message("assistant", tuple(blocks)), stop, used)

    def spent(self) -> Usage:
        """The usage of an answer that broke off. The output is estimated: counts before the end are not final."""
        heard = "".join(piece for part in self._parts.values() for piece in part.pieces)
        return wire.cut_usage(self._request, heard, self._input()) if self._answer_id or heard else Usage()

    def _input(self) -> tuple[int | None, int, int]:
        """Input tokens: all, read from the cache, written to the cache."""
        fresh = self._usage.get("input_tokens")
        read = self._usage.get("cache_read_input_tokens", 0)
        written = self._usage.get("cache_creation_input_tokens", 0)
        return None if fresh is None else fresh + read + written, read, written

    def _extend(self, part: _Part, delta: Json) -> None:
        match delta.get("type"):
            case "text_delta":
                part.pieces.append(_text(delta, "text"))
                self._say(part.pieces[-1])
            case "input_json_delta":
                part.pieces.append(_text(delta, "partial_json"))
            case "thinking_delta":
                part.pieces.append(_text(delta, "thinking"))
            case "signature_delta":
                part.signature.append(_text(delta, "signature"))

    def _block(self, part: _Part, stop: StopReason) -> list[Block]:
        whole = "".join(part.pieces)
        match part.kind:
            case "text":
                first = part.start.get("text")
                text = (first if isinstance(first, str) else "") + whole
                return [Text(text)] if text.strip() else []
            case "tool_use":
                if not part.ended and stop is not StopReason.LENGTH:
                    raise cut_short("a tool call did not end")
                name = part.start.get("name")
                call = self._ids.take(part.start.get("id"), self._answer_id)
                return [ToolCall(call, name if isinstance(name, str) else "", _arguments(part, whole, stop))]
            case "thinking":
                first, signed = part.start.get("thinking"), part.start.get("signature")
                thought = (first if isinstance(first, str) else "") + whole
                signature = (signed if isinstance(signed, str) else "") + "".join(part.signature)
                kept: Json = {"type": "thinking", "thinking": thought, "signature": signature}
                return [wire.opaque(self._provider, kept)] if signature else []
            case "redacted_thinking":
                return [wire.opaque(self._provider, part.start)]
        return []

    def _say(self, text: object) -> None:
        if isinstance(text, str) and text:
            self._on_text(text)

    def _part(self, event: Json) -> _Part:
        part = self._parts.get(_index(event))
        if part is None or part.ended:
            raise cut_short("a piece belongs to no block")
        return part

    def _count(self, given: object) -> None:
        for key, value in _object(given).items():
            number = wire.count(value)
            if number is not None:
                self._usage[key] = number


def _arguments(part: _Part, whole: str, stop: StopReason) -> str:
    """The raw arguments; if none were streamed, those in the block's start event."""
    if whole or stop is StopReason.LENGTH:
        return whole
    return msgspec.json.encode(part.start.get("input") or {}).decode()


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _index(event: Json) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise cut_short("an event without its block's number")
    return index


def _text(delta: Json, key: str) -> str:
    text = delta.get(key)
    if not isinstance(text, str):
        raise cut_short(f"a piece without its {key}")
    return text

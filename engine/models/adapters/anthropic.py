"""Anthropic's Messages API: encodes a conversation, decodes the stream into a turn."""

from collections.abc import Callable
from typing import Any, cast

import anthropic
import msgspec

from engine.domain.conversation import Block, Opaque, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.os_text import utf8_text
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.dialects import MESSAGES, Dialects
from engine.models.adapters.error_mapping import cut_short
from engine.models.adapters.exchange import Reader, part_number
from engine.models.adapters.http_client import sdk_options
from engine.models.adapters.sdk_provider import SdkProvider
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import ANTHROPIC_ADDRESS, Endpoint

_STOPS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "pause_turn": StopReason.END,
    "tool_use": StopReason.TOOLS,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "refusal": StopReason.REFUSAL,
}
_PIECES = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}
"""The field of each kind of delta that has its text."""
_CACHED: Json = {"type": "ephemeral"}


class AnthropicProvider(SdkProvider):
    """The Messages API, through the official SDK."""

    def __init__(self, endpoint: Endpoint) -> None:
        client = anthropic.AsyncAnthropic(**sdk_options(endpoint, ANTHROPIC_ADDRESS), open_telemetry=False)
        super().__init__(endpoint, Dialects(MESSAGES), _Reader, client)

    def _body(self, request: Request) -> Json:
        return message_body(request, self.name, self._endpoint.settings.max_output)

    def _opened(self, request: Request, body: Json) -> Any:
        return self._client.messages.with_streaming_response.create(**body, stream=True)


def message_body(request: Request, provider: str, limit: int) -> Json:
    """The request's body for the Messages API.

    It has three cache breakpoints: one after the constant part (tools and system prompt), two at the last two user
    messages. The server searches its cache at most 20 blocks before a breakpoint, so after a turn with many calls only
    the breakpoint at the previous request's end finds the cached prefix.
    """
    system: list[Json] = [{"type": "text", "text": utf8_text(request.system)}] if request.system.strip() else []
    tools: list[Json] = [
        {"name": wire.wire_name(tool.name), "description": utf8_text(tool.description), "input_schema": tool.schema}
        for tool in request.tools
    ]
    if system:
        system[-1]["cache_control"] = _CACHED
    elif tools:
        tools[-1]["cache_control"] = _CACHED
    messages: list[Json] = []
    for role, blocks in wire.merged(request, provider):
        messages.append({"role": role, "content": [_content(block) for block in blocks]})
    for message in [message for message in messages if message["role"] == "user"][-2:]:
        cast(list[Json], message["content"])[-1]["cache_control"] = _CACHED
    body: Json = {"model": request.model, "max_tokens": wire.max_output(request, limit), "messages": messages}
    return body | ({"system": system} if system else {}) | ({"tools": tools} if tools else {})


def _content(block: Block) -> Json:
    match block:
        case Text():
            return {"type": "text", "text": utf8_text(block.text)}
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
                answer["content"] = utf8_text(block.text)
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


class _Reader(Reader):
    def __init__(
        self, endpoint: Endpoint, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None]
    ) -> None:
        super().__init__(endpoint, request, on_text, on_output)
        self._parts: list[_Part] = []
        self._at: dict[int, _Part] = {}
        """The newest block of each index: some gateways give all blocks one."""
        self._stop = ""
        self._answer_id = ""
        self._usage: dict[str, int] = {}

    def take(self, name: str, event: Json) -> None:
        match event.get("type") or name:
            case "message_start":
                message = wire.json_object(event.get("message"))
                self._answer_id = str(message.get("id", ""))[:200]
                self._count(message.get("usage"))
            case "content_block_start":
                start = self._begin(part_number(event, "index"), wire.json_object(event.get("content_block"))).start
                self._say(start.get("text"))
            case "content_block_delta":
                delta = wire.json_object(event.get("delta"))
                if delta.get("type") == "text_delta" and event.get("index") not in self._at:  # of an unannounced block
                    self._begin(part_number(event, "index"), {"type": "text"})
                self._extend(self._part(event), delta)
            case "content_block_stop":
                self._part(event).ended = True
            case "message_delta":
                self._stop = wire.text_of(wire.json_object(event.get("delta")).get("stop_reason")) or self._stop
                self._count(event.get("usage"))
            case "message_stop" | "[DONE]":
                self.finished = True
                self.complete = bool(self._stop)
            case "message":
                self._take_whole(event)

    def _take_whole(self, message: Json) -> None:
        """An answer that is not streamed."""
        self._answer_id = str(message.get("id", ""))[:200]
        self._count(message.get("usage"))
        for number, block in enumerate(wire.json_objects(message.get("content"))):
            self._begin(number, block).ended = True
            self._hear(block.get("text"))
            self._say(block.get("text"))
        self._stop = wire.text_of(message.get("stop_reason"))
        self.finished = self.complete = bool(self._stop)

    def turn(self) -> Turn:
        stop = _STOPS.get(self._stop, StopReason.END)
        blocks: list[Block] = []
        for part in self._parts:
            blocks.extend(self._block(part, stop))
        return self._turn_of(blocks, stop, (*self._input(), self._usage.get("output_tokens")))

    def spent(self) -> Usage:
        """The usage of an answer that broke off. The output is estimated: counts before the end are not final."""
        heard = "".join(piece for part in self._parts for piece in part.pieces)
        return wire.cut_usage(self._request, heard, self._input()) if self.begun else Usage()

    def _input(self) -> tuple[int | None, int, int]:
        """Input tokens: all, read from the cache, written to the cache."""
        fresh = self._usage.get("input_tokens")
        read = self._usage.get("cache_read_input_tokens", 0)
        written = self._usage.get("cache_creation_input_tokens", 0)
        return None if fresh is None else fresh + read + written, read, written

    def _extend(self, part: _Part, delta: Json) -> None:
        key = _PIECES.get(wire.text_of(delta.get("type")))
        if key is None:
            return
        piece = delta.get(key)
        if not isinstance(piece, str):
            raise cut_short(f"a piece without its {key}")
        (part.signature if key == "signature" else part.pieces).append(piece)
        self._hear(piece)
        if key == "text":
            self._say(piece)

    def _block(self, part: _Part, stop: StopReason) -> list[Block]:
        whole = "".join(part.pieces)
        match part.kind:
            case "text":
                text = wire.text_of(part.start.get("text")) + whole
                return [Text(text)] if text.strip() else []
            case "tool_use":
                if not part.ended and stop is not StopReason.LENGTH:
                    raise cut_short("a tool call did not end")
                call = self._ids.take(part.start.get("id"), self._answer_id)
                return [ToolCall(call, wire.text_of(part.start.get("name")), _arguments(part, whole, stop))]
            case "thinking":
                thought = wire.text_of(part.start.get("thinking")) + whole
                signature = wire.text_of(part.start.get("signature")) + "".join(part.signature)
                unsigned = bool(self.endpoint.base_url) and part.ended and stop is not StopReason.LENGTH  # DeepSeek's
                kept: Json = {"type": "thinking", "thinking": thought, "signature": signature}
                return [wire.opaque(self.endpoint.name, self._request.model, kept)] if signature or unsigned else []
            case "redacted_thinking":
                return [wire.opaque(self.endpoint.name, self._request.model, part.start)]
        return []

    def _begin(self, number: int, start: Json) -> _Part:
        self._at[number] = part = _Part(start)
        self._parts.append(part)
        return part

    def _part(self, event: Json) -> _Part:
        part = self._at.get(part_number(event, "index"))
        if part is None or part.ended:
            raise cut_short("a piece belongs to no block")
        return part

    def _count(self, given: object) -> None:
        for key, value in wire.json_object(given).items():
            number = wire.count(value)
            if number is not None:
                self._usage[key] = number


def _arguments(part: _Part, whole: str, stop: StopReason) -> str:
    """The raw arguments; if none were streamed, those in the block's start event."""
    if whole or stop is StopReason.LENGTH:
        return whole
    return msgspec.json.encode(part.start.get("input") or {}).decode()

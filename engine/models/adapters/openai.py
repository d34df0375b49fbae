"""OpenAI's Responses API without server-side state: encodes a conversation, decodes the stream into a turn."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import openai
from msgspec.structs import replace

from engine.domain.conversation import Block, Opaque, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.os_text import utf8_text
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.dialects import RESPONSES, Dialects
from engine.models.adapters.error_mapping import cut_short, stream_failure
from engine.models.adapters.exchange import Reader
from engine.models.adapters.http_client import sdk_options
from engine.models.adapters.sdk_provider import SdkProvider
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import OPENAI_ADDRESS, Endpoint


class OpenAIProvider(SdkProvider):
    """The Responses API, through the official SDK. Models that do not reason refuse requests for their reasoning."""

    def __init__(self, endpoint: Endpoint) -> None:
        client = openai.AsyncOpenAI(**sdk_options(endpoint, OPENAI_ADDRESS))
        super().__init__(endpoint, Dialects(RESPONSES), _Reader, client)

    def _body(self, request: Request) -> Json:
        return response_body(request, self.name, self._endpoint.settings.max_output)

    def _opened(self, request: Request, body: Json) -> Any:
        return self._client.responses.with_streaming_response.create(stream=True, extra_body=body)


def response_body(request: Request, provider: str, limit: int) -> Json:
    """The request's body for the Responses API, with the whole conversation."""
    items: list[Json] = []
    for role, blocks in wire.merged(request, provider):
        items.extend(_item(role, block) for block in blocks)
    body: Json = {
        "model": request.model,
        "input": items,
        "max_output_tokens": max(16, wire.max_output(request, limit)),  # less is refused
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    if request.system.strip():
        body["instructions"] = utf8_text(request.system)
    if request.tools:
        body["tools"] = [{"type": "function", "strict": False} | wire.wire_function(tool) for tool in request.tools]
    if request.conversation:
        body["prompt_cache_key"] = request.conversation[:64]
    return body


def _item(role: str, block: Block) -> Json:
    match block:
        case Text():
            kind = "input_text" if role == "user" else "output_text"
            return {"type": "message", "role": role, "content": [{"type": kind, "text": utf8_text(block.text)}]}
        case ToolCall():
            return {
                "type": "function_call",
                "call_id": wire.wire_id(block.id),
                "name": wire.wire_name(block.tool),
                "arguments": wire.wire_arguments(block.arguments),
            }
        case ToolAnswer():
            call = wire.wire_id(block.id)
            return {"type": "function_call_output", "call_id": call, "output": wire.wire_answer(block)}
        case Opaque():
            return cast(Json, msgspec.json.decode(block.data))


class _Reader(Reader):
    """Takes complete items from their end events, or from the terminal event, which repeats them."""

    def __init__(
        self, endpoint: Endpoint, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None]
    ) -> None:
        super().__init__(endpoint, request, on_text, on_output)
        self._items: dict[int, Json] = {}
        self._opened: set[int] = set()
        self._heard: list[str] = []
        self._final: Json = {}
        self._stop = StopReason.END

    def take(self, name: str, event: Json) -> None:
        delta = event.get("delta")
        if isinstance(delta, str):
            self._heard.append(delta)
            self._hear(delta)
        kind, response = event.get("type") or name, wire.json_object(event.get("response"))
        if event.get("object") == "response":  # an answer that is not streamed
            kind, response = f"response.{event.get('status')}", event
        match kind:
            case "[DONE]":  # some compatible servers send no terminal event
                self.finished = True
                self.complete = bool(self._items) and self._opened <= self._items.keys()
            case "response.output_text.delta" | "response.refusal.delta":
                self._say(delta)
            case "response.output_item.added":
                if isinstance(number := event.get("output_index"), int):
                    self._opened.add(number)
            case "response.output_item.done":
                item = event.get("item")
                if not isinstance(item, dict):
                    raise cut_short("an item is not an object")
                number = event.get("output_index")
                if not isinstance(number, int) or self._items.get(number, item) != item:  # none, or one for all
                    number = max(self._items, default=-1) + 1
                self._items[number] = item
            case "response.completed" | "response.incomplete":
                self._final = response
                self.finished = self.complete = True
                if kind == "response.incomplete":
                    reason = wire.json_object(self._final.get("incomplete_details")).get("reason")
                    self._stop = StopReason.REFUSAL if reason == "content_filter" else StopReason.LENGTH
            case "response.failed":
                raise stream_failure(response, self.endpoint.key)

    def turn(self) -> Turn:
        items = wire.json_objects(self._final.get("output"))
        if not items:
            if self._stop is StopReason.END and self._opened - self._items.keys():
                raise cut_short("an item did not end")
            items = [item for _, item in sorted(self._items.items())]
        answer_id = str(self._final.get("id", ""))[:200]
        blocks: list[Block] = []
        refused = False
        for item in items:
            match item.get("type"):
                case "message":
                    said, refusal = _said(item)
                    refused = refused or refusal
                    blocks.extend([Text(said)] if said.strip() else [])
                case "function_call":
                    arguments = item.get("arguments")
                    if not isinstance(arguments, str):
                        arguments = msgspec.json.encode(arguments or {}).decode()
                    elif not arguments and self._stop is StopReason.END:
                        arguments = "{}"
                    call = self._ids.take(item.get("call_id"), answer_id)
                    blocks.append(ToolCall(call, wire.text_of(item.get("name")), arguments))
                case "reasoning":
                    if item.get("encrypted_content"):  # without it only the server could know it, and it forgot
                        blocks.append(wire.opaque(self.endpoint.name, self._request.model, item))
        used = wire.json_object(self._final.get("usage"))
        details = wire.json_object(used.get("input_tokens_details"))
        read, written = details.get("cached_tokens"), details.get("cache_write_tokens")
        turn = self._turn_of(blocks, self._stop, (used.get("input_tokens"), read, written, used.get("output_tokens")))
        return replace(turn, stop=StopReason.REFUSAL) if refused and turn.stop is StopReason.END else turn

    def spent(self) -> Usage:
        """The usage of an answer that broke off, estimated: the server reports counts only at the end."""
        return wire.cut_usage(self._request, "".join(self._heard)) if self.begun else Usage()


def _said(item: Json) -> tuple[str, bool]:
    """A message's text, and whether it is a refusal."""
    content = item.get("content")
    if isinstance(content, str):
        return content, False
    pieces: list[str] = []
    refused = False
    for part in wire.json_objects(content):
        refusal = part.get("type") == "refusal"
        refused = refused or refusal
        pieces.append(wire.text_of(part.get("refusal" if refusal else "text")))
    return "".join(pieces), refused

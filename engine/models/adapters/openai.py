"""OpenAI's Responses API without server-side state: encodes a conversation, decodes the stream into a turn."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import msgspec
import openai

from engine.domain.conversation import Block, Message, Opaque, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.error_mapping import cut_short, stream_failure
from engine.models.adapters.exchange import StreamedResponse, exchange
from engine.models.adapters.http_client import http_client, timeouts
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_NO_REASONING = "encrypted content is not supported"


class OpenAIProvider:
    """The Responses API, through the official SDK.

    Models that do not reason reject requests for encrypted reasoning. Such a model is remembered, and the rejection
    becomes a retryable error.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._unreasoning: set[str] = set()
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key,
            base_url=endpoint.base_url or "https://api.openai.com/v1",
            max_retries=0,
            timeout=timeouts(endpoint.settings),
            http_client=http_client(endpoint.settings),
        )

    async def ask(self, request: Request, on_text: Callable[[str], None]) -> Turn:
        """One streamed call. Raises ModelError."""
        reader = _Reader(request, self.name, on_text, self._endpoint.key)
        body = response_body(request, self.name, self._endpoint.settings.max_output)
        if request.model not in self._unreasoning:
            body["include"] = ["reasoning.encrypted_content"]

        def open_stream() -> AbstractAsyncContextManager[StreamedResponse]:
            # As a typed argument, the SDK would walk the conversation item by item: a second of CPU for 400 turns.
            create = cast(Any, self._client.responses.with_streaming_response.create)
            return cast(AbstractAsyncContextManager[StreamedResponse], create(stream=True, extra_body=body))

        try:
            return await exchange(self._endpoint, open_stream, reader)
        except ModelError as error:
            if error.kind is ModelErrorKind.BAD_REQUEST and _NO_REASONING in error.message.lower():
                self._unreasoning.add(request.model)
                raise ModelError(
                    ModelErrorKind.RETRYABLE, error.message, status=error.status, retry_after=0.0
                ) from None
            raise

    async def close(self) -> None:
        await self._client.close()


def response_body(request: Request, provider: str, limit: int) -> Json:
    """The request's body for the Responses API, with the whole conversation."""
    items: list[Json] = []
    for role, blocks in wire.merged(request.messages, provider):
        items.extend(_item(role, block) for block in blocks)
    body: Json = {
        "model": request.model,
        "input": items,
        "max_output_tokens": max(16, wire.max_output(request, limit)),  # less is refused
        "store": False,
    }
    if request.system.strip():
        body["instructions"] = wire.clean(request.system)
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": wire.wire_name(tool.name),
                "description": wire.clean(tool.description),
                "parameters": tool.schema,
                "strict": False,
            }
            for tool in request.tools
        ]
    if request.conversation:
        body["prompt_cache_key"] = request.conversation[:64]
    return body


def _item(role: str, block: Block) -> Json:
    match block:
        case Text():
            kind = "input_text" if role == "user" else "output_text"
            return {"type": "message", "role": role, "content": [{"type": kind, "text": wire.clean(block.text)}]}
        case ToolCall():
            return {
                "type": "function_call",
                "call_id": wire.wire_id(block.id),
                "name": wire.wire_name(block.tool),
                "arguments": wire.wire_arguments(block.arguments),
            }
        case ToolAnswer():
            text = wire.clean(block.text)
            return {
                "type": "function_call_output",
                "call_id": wire.wire_id(block.id),
                "output": f"error: {text}" if block.error and not text.startswith("error") else text,
            }
        case Opaque():
            return cast(Json, msgspec.json.decode(block.data))


class _Reader:
    """Builds a turn; complete items come from their end events, or from the terminal event, which repeats them."""

    def __init__(self, request: Request, provider: str, on_text: Callable[[str], None], secret: str) -> None:
        self._request = request
        self._provider = provider
        self._on_text = on_text
        self._secret = secret
        self._items: dict[int, Json] = {}
        self._opened: set[int] = set()
        self._heard: list[str] = []
        self._final: Json | None = None
        self._stop = StopReason.END

    @property
    def finished(self) -> bool:
        return self._final is not None

    @property
    def complete(self) -> bool:
        return self._final is not None

    def take(self, name: str, event: Json) -> None:
        delta = event.get("delta")
        if isinstance(delta, str):
            self._heard.append(delta)
        match event.get("type") or name:
            case "response.output_text.delta" | "response.refusal.delta":
                if isinstance(delta, str) and delta:
                    self._on_text(delta)
            case "response.output_item.added":
                self._opened.add(_index(event))
            case "response.output_item.done":
                item = event.get("item")
                if not isinstance(item, dict):
                    raise cut_short("an item is not an object")
                self._items[_index(event)] = item
            case "response.completed":
                self._final = _object(event.get("response"))
            case "response.incomplete":
                self._final = _object(event.get("response"))
                reason = _object(self._final.get("incomplete_details")).get("reason")
                self._stop = StopReason.REFUSAL if reason == "content_filter" else StopReason.LENGTH
            case "response.failed":
                raise stream_failure(_object(event.get("response")), self._secret)
            case "error":
                raise stream_failure(event, self._secret)

    def turn(self) -> Turn:
        """The turn. Raises ModelError if there was no terminal event."""
        if self._final is None:
            raise cut_short("it ended without a terminal event")
        output = self._final.get("output")
        items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
        if not items:
            if self._stop is StopReason.END and self._opened - self._items.keys():
                raise cut_short("an item did not end")
            items = [item for _, item in sorted(self._items.items())]
        ids = wire.CallIds(self._request)
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
                    name, arguments = item.get("name"), item.get("arguments")
                    if not isinstance(arguments, str):
                        arguments = msgspec.json.encode(arguments or {}).decode()
                    elif not arguments and self._stop is StopReason.END:
                        arguments = "{}"
                    call = ids.take(item.get("call_id"), answer_id)
                    blocks.append(ToolCall(call, name if isinstance(name, str) else "", arguments))
                case "reasoning":
                    if item.get("encrypted_content"):  # without it only the server could know it, and it forgot
                        blocks.append(wire.opaque(self._provider, item))
        return Turn(Message("assistant", tuple(blocks)), self._reason(blocks, refused), self._used(blocks))

    def spent(self) -> Usage:
        """The usage of an answer that broke off, estimated: the server reports counts only at the end."""
        begun = self._opened or self._items or self._heard
        return wire.cut_usage(self._request, "".join(self._heard)) if begun else Usage()

    def _reason(self, blocks: list[Block], refused: bool) -> StopReason:
        if self._stop is not StopReason.END:
            return self._stop
        if any(isinstance(block, ToolCall) for block in blocks):
            return StopReason.TOOLS
        return StopReason.REFUSAL if refused else StopReason.END

    def _used(self, blocks: list[Block]) -> Usage:
        given = _object(self._final and self._final.get("usage"))
        details = _object(given.get("input_tokens_details"))
        counts = (
            wire.count(given.get("input_tokens")),
            wire.count(details.get("cached_tokens")),
            wire.count(details.get("cache_write_tokens")),
            wire.count(given.get("output_tokens")),
        )
        return wire.usage(self._request, blocks, counts)


def _said(item: Json) -> tuple[str, bool]:
    """A message's text, and whether it is a refusal."""
    content = item.get("content")
    if isinstance(content, str):
        return content, False
    pieces: list[str] = []
    refused = False
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict):
            refused = refused or part.get("type") == "refusal"
            text = part.get("refusal" if part.get("type") == "refusal" else "text")
            pieces.append(text if isinstance(text, str) else "")
    return "".join(pieces), refused


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _index(event: Json) -> int:
    index = event.get("output_index")
    if not isinstance(index, int):
        raise cut_short("an event without its item's number")
    return index

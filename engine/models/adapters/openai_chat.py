"""The Chat Completions API, for OpenAI and compatible servers (llama.cpp, vLLM, Ollama and others)."""

from collections.abc import Callable
from typing import Any

import msgspec
import openai

from engine.domain.conversation import Block, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.error_mapping import stream_failure
from engine.models.adapters.exchange import Reader, exchange
from engine.models.adapters.http_client import sdk_options
from engine.models.adapters.openai import OPENAI_ADDRESS
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_STOPS = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOLS,
    "function_call": StopReason.TOOLS,
    "length": StopReason.LENGTH,
    "content_filter": StopReason.REFUSAL,
}
_MAX_CALLS = 512


class OpenAIChatProvider:
    """The Chat Completions API, through the official SDK.

    Compatible servers differ. A parameter that one rejects (`stream_options`, one of the two names of the output
    limit) is left out from then on, and the rejection becomes a retryable error.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._asks_usage = True
        options = sdk_options(endpoint, OPENAI_ADDRESS)
        self._limit_name = "max_completion_tokens" if "://api.openai.com" in options["base_url"] else "max_tokens"
        self._limit_swapped = False
        self._client = openai.AsyncOpenAI(**options)

    async def ask(
        self,
        request: Request,
        on_text: Callable[[str], None],
        on_output: Callable[[int], None] = lambda characters: None,
    ) -> Turn:
        """One streamed call. Raises ModelError."""
        body = chat_body(request)
        body[self._limit_name] = wire.max_output(request, self._endpoint.settings.max_output)
        if self._asks_usage:
            body["stream_options"] = {"include_usage": True}
        create: Any = self._client.chat.completions.with_streaming_response.create
        reader = _Reader(self._endpoint, request, on_text, on_output)
        try:
            # As a typed argument, the SDK would walk the conversation message by message.
            return await exchange(
                lambda: create(model=request.model, messages=[], stream=True, extra_body=body), reader
            )
        except ModelError as error:
            if error.kind is ModelErrorKind.BAD_REQUEST and self._yields(error.message, body):
                error.kind, error.retry_after = ModelErrorKind.RETRYABLE, 0.0
            raise

    def _yields(self, message: str, sent: Json) -> bool:
        """Leave out of later requests what the server rejected; returns whether a retry would differ from `sent`."""
        if "stream_options" in message or "include_usage" in message:
            self._asks_usage = False
            return "stream_options" in sent
        if "max_tokens" in message or "max_completion_tokens" in message:
            if self._limit_name in sent and not self._limit_swapped:
                self._limit_swapped = True
                self._limit_name = "max_completion_tokens" if self._limit_name == "max_tokens" else "max_tokens"
            return self._limit_name not in sent
        return False

    async def close(self) -> None:
        await self._client.close()


def chat_body(request: Request) -> Json:
    """The request's body for Chat Completions, with plain strings, which every server accepts."""
    messages: list[Json] = []
    if request.system.strip():
        messages.append({"role": "system", "content": wire.clean(request.system)})
    for role, blocks in wire.merged(request.messages, ""):
        messages.extend(_user(blocks) if role == "user" else [_assistant(blocks)])
    body: Json = {"model": request.model, "messages": messages}
    if request.tools:
        body["tools"] = [{"type": "function", "function": wire.wire_function(tool)} for tool in request.tools]
    return body


def _user(blocks: list[Block]) -> list[Json]:
    messages: list[Json] = [
        {"role": "tool", "tool_call_id": wire.wire_id(block.id), "content": wire.wire_answer(block)}
        for block in blocks
        if isinstance(block, ToolAnswer)
    ]
    text = _text(blocks)
    return [*messages, {"role": "user", "content": text}] if text else messages


def _assistant(blocks: list[Block]) -> Json:
    calls: list[Json] = [
        {
            "id": wire.wire_id(block.id),
            "type": "function",
            "function": {"name": wire.wire_name(block.tool), "arguments": wire.wire_arguments(block.arguments)},
        }
        for block in blocks
        if isinstance(block, ToolCall)
    ]
    message: Json = {"role": "assistant", "content": _text(blocks) or (None if calls else "")}
    return message | ({"tool_calls": calls} if calls else {})


def _text(blocks: list[Block]) -> str:
    return wire.clean("\n\n".join(block.text for block in blocks if isinstance(block, Text)))


class _Call:
    """A tool call while it arrives."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []


class _Reader(Reader):
    def __init__(
        self, endpoint: Endpoint, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None]
    ) -> None:
        super().__init__(endpoint, request, on_text, on_output)
        self._text: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._stop = ""
        self._answer_id = ""
        self._usage: Json = {}

    def take(self, name: str, event: Json) -> None:
        if name == "[DONE]":
            self.finished = True
            return
        if name == "error" or event.get("error"):
            raise stream_failure(event, self.endpoint.key)
        self._usage = wire.json_object(event.get("usage")) or self._usage
        self._answer_id = self._answer_id or str(event.get("id", ""))[:200]
        for choice in wire.json_objects(event.get("choices")):
            if choice.get("index", 0) in (0, None):
                self._choose(choice)

    def turn(self) -> Turn:
        stop = _STOPS.get(self._stop, StopReason.END)
        text = "".join(self._text)
        blocks: list[Block] = [Text(text)] if text.strip() else []
        for _, call in sorted(self._calls.items()):
            arguments = "".join(call.pieces)
            if not arguments and stop is not StopReason.LENGTH:
                arguments = "{}"
            blocks.append(ToolCall(self._ids.take(call.id, self._answer_id), call.name, arguments))
        details = wire.json_object(self._usage.get("prompt_tokens_details"))
        prompt, total = wire.count(self._usage.get("prompt_tokens")), wire.count(self._usage.get("total_tokens"))
        output = wire.count(self._usage.get("completion_tokens"))
        if prompt and total:  # some services (Gemini, xAI) count reasoning tokens only in the total
            output = max(output or 0, total - prompt)
        read, written = details.get("cached_tokens"), details.get("cache_write_tokens")
        return self._turn_of(blocks, stop, (prompt, read, written, output))

    def spent(self) -> Usage:
        """The usage of an answer that broke off, estimated: the server reports counts only at the end."""
        heard = "".join((*self._text, *(piece for call in self._calls.values() for piece in call.pieces)))
        return wire.cut_usage(self._request, heard) if self.begun else Usage()

    def _choose(self, choice: Json) -> None:
        delta = wire.json_object(choice.get("delta"))
        for key in ("content", "refusal"):
            text = wire.text_of(delta.get(key))
            self._text.append(text)
            self._hear(text)
            self._say(text)
        for key in ("reasoning_content", "reasoning"):
            self._hear(delta.get(key))
        for piece in wire.json_objects(delta.get("tool_calls")):
            self._extend(piece)
        self._stop = wire.text_of(choice.get("finish_reason")) or self._stop
        self.complete = bool(self._stop)  # only the usage may follow

    def _extend(self, piece: Json) -> None:
        function = wire.json_object(piece.get("function"))
        given, name = wire.text_of(piece.get("id")), wire.text_of(function.get("name"))
        call = self._call(piece.get("index"), given)
        call.id = call.id or given
        if name != call.name:  # some servers repeat it, some send it in pieces
            call.name += name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.pieces.append(arguments)
            self._hear(arguments)
        elif arguments is not None:  # some servers send an object
            call.pieces.append(msgspec.json.encode(arguments).decode())

    def _call(self, index: object, given: str) -> _Call:
        """The call that a piece belongs to. Without an index, a new id starts a new call."""
        if not isinstance(index, int):
            last = max(self._calls, default=-1)
            begins = last < 0 or (given and given != self._calls[last].id)
            index = last + 1 if begins else last
        if index not in self._calls:
            if len(self._calls) >= _MAX_CALLS:
                raise ModelError(ModelErrorKind.RETRYABLE, f"more than {_MAX_CALLS} tool calls in one answer")
            self._calls[index] = _Call()
        return self._calls[index]

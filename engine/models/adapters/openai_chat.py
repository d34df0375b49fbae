"""The Chat Completions API, for OpenAI and compatible servers (llama.cpp, vLLM, Ollama and others)."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import msgspec
import openai

from engine.domain.conversation import Block, Message, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import Usage
from engine.models.adapters import wire_format as wire
from engine.models.adapters.error_mapping import cut_short, stream_failure
from engine.models.adapters.exchange import StreamedResponse, exchange
from engine.models.adapters.http_client import http_client, timeouts
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_STOPS = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOLS,
    "function_call": StopReason.TOOLS,
    "length": StopReason.LENGTH,
    "content_filter": StopReason.REFUSAL,
}
_OPENAI = "https://api.openai.com/v1"
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
        base_url = endpoint.base_url or _OPENAI
        self._limit_name = "max_completion_tokens" if "://api.openai.com" in base_url else "max_tokens"
        self._limit_swapped = False
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key,
            base_url=base_url,
            max_retries=0,
            timeout=timeouts(endpoint.settings),
            http_client=http_client(endpoint.settings),
        )

    async def ask(self, request: Request, on_text: Callable[[str], None]) -> Turn:
        """One streamed call. Raises ModelError."""
        reader = _Reader(request, on_text, self._endpoint.key)
        body = chat_body(request)
        body[self._limit_name] = wire.max_output(request, self._endpoint.settings.max_output)
        if self._asks_usage:
            body["stream_options"] = {"include_usage": True}

        def open_stream() -> AbstractAsyncContextManager[StreamedResponse]:
            # As an argument the conversation would be looked through message by message, which takes long.
            create = cast(Any, self._client.chat.completions.with_streaming_response.create)
            opened = create(model=request.model, messages=[], stream=True, extra_body=body)
            return cast(AbstractAsyncContextManager[StreamedResponse], opened)

        try:
            return await exchange(self._endpoint, open_stream, reader)
        except ModelError as error:
            if error.kind is ModelErrorKind.BAD_REQUEST and self._yields(error.message, body):
                raise ModelError(
                    ModelErrorKind.RETRYABLE, error.message, status=error.status, retry_after=0.0
                ) from None
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
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": wire.wire_name(tool.name),
                    "description": wire.clean(tool.description),
                    "parameters": tool.schema,
                },
            }
            for tool in request.tools
        ]
    return body


def _user(blocks: list[Block]) -> list[Json]:
    messages: list[Json] = [
        {"role": "tool", "tool_call_id": wire.wire_id(block.id), "content": _answer(block)}
        for block in blocks
        if isinstance(block, ToolAnswer)
    ]
    text = _text(blocks)
    return [*messages, {"role": "user", "content": text}] if text else messages


def _answer(block: ToolAnswer) -> str:
    text = wire.clean(block.text)
    return f"error: {text}" if block.error and not text.startswith("error") else text


def _assistant(blocks: list[Block]) -> Json:
    calls: list[Json] = [
        {
            "id": wire.wire_id(block.id),
            "type": "function",
            "function": {
                "name": wire.wire_name(block.tool),
                "arguments": wire.wire_arguments(block.arguments),
            },
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


class _Reader:
    def __init__(self, request: Request, on_text: Callable[[str], None], secret: str) -> None:
        self._request = request
        self._on_text = on_text
        self._secret = secret
        self._text: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._stop: str | None = None
        self._done = False
        self._answer_id = ""
        self._usage: Json = {}

    @property
    def finished(self) -> bool:
        return self._done

    @property
    def complete(self) -> bool:
        """Whether the turn has ended: only the usage may follow the finish reason."""
        return self._stop is not None

    def take(self, name: str, event: Json) -> None:
        if name == "[DONE]":
            self._done = True
            return
        if name == "error" or event.get("error"):
            raise stream_failure(event, self._secret)
        if isinstance(event.get("usage"), dict):
            self._usage = cast(Json, event["usage"])
        self._answer_id = self._answer_id or str(event.get("id", ""))[:200]
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
                self._choose(choice)

    def turn(self) -> Turn:
        """The turn. Raises ModelError if there was no finish reason."""
        if self._stop is None:
            raise cut_short("it ended without a finish reason")
        stop = _STOPS.get(self._stop, StopReason.END)
        text = "".join(self._text)
        blocks: list[Block] = [Text(text)] if text.strip() else []
        ids = wire.CallIds(self._request)
        for _, call in sorted(self._calls.items()):
            arguments = "".join(call.pieces)
            if not arguments and stop is not StopReason.LENGTH:
                arguments = "{}"
            blocks.append(ToolCall(ids.take(call.id, self._answer_id), call.name, arguments))
        if self._calls and stop is StopReason.END:
            stop = StopReason.TOOLS
        elif not self._calls and stop is StopReason.TOOLS:
            stop = StopReason.END
        details = self._usage.get("prompt_tokens_details")
        details = details if isinstance(details, dict) else {}
        prompt, total = wire.count(self._usage.get("prompt_tokens")), wire.count(self._usage.get("total_tokens"))
        output = wire.count(self._usage.get("completion_tokens"))
        if prompt and total:  # some services (Gemini, xAI) count reasoning tokens only in the total
            output = max(output or 0, total - prompt)
        counts = (
            prompt,
            wire.count(details.get("cached_tokens")),
            wire.count(details.get("cache_write_tokens")),
            output,
        )
        return Turn(Message("assistant", tuple(blocks)), stop, wire.usage(self._request, blocks, counts))

    def spent(self) -> Usage:
        """The usage of an answer that broke off, estimated: the server reports counts only at the end."""
        heard = "".join((*self._text, *(piece for call in self._calls.values() for piece in call.pieces)))
        return wire.cut_usage(self._request, heard) if self._answer_id or heard else Usage()

    def _choose(self, choice: Json) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            for key in ("content", "refusal"):
                text = delta.get(key)
                if isinstance(text, str) and text:
                    self._text.append(text)
                    self._on_text(text)
            calls = delta.get("tool_calls")
            for piece in calls if isinstance(calls, list) else []:
                if isinstance(piece, dict):
                    self._extend(piece)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._stop = reason

    def _extend(self, piece: Json) -> None:
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        given, name, arguments = piece.get("id"), function.get("name"), function.get("arguments")
        call = self._call(piece.get("index"), given if isinstance(given, str) else "")
        if isinstance(given, str) and given:
            call.id = call.id or given
        if isinstance(name, str) and name != call.name:  # some servers repeat it, some send it in pieces
            call.name += name
        if isinstance(arguments, str):
            call.pieces.append(arguments)
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

"""The Chat Completions API, for OpenAI and compatible servers (llama.cpp, vLLM, Ollama and others)."""

from typing import Any

import openai

from engine.domain.conversation import Block, Opaque, Request, Text, ToolAnswer, ToolCall
from engine.domain.os_text import utf8_text
from engine.domain.types import CallId
from engine.models.adapters import kept_fields
from engine.models.adapters import wire_format as wire
from engine.models.adapters.chat_stream import ChatReader
from engine.models.adapters.dialects import CHAT, LAST, Dialects
from engine.models.adapters.http_client import sdk_options
from engine.models.adapters.sdk_provider import SdkProvider
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import OPENAI_ADDRESS, Endpoint


class OpenAIChatProvider(SdkProvider):
    """The Chat Completions API, through the official SDK, in the dialect of each server."""

    def __init__(self, endpoint: Endpoint) -> None:
        options = sdk_options(endpoint, OPENAI_ADDRESS)
        self._limit_name = "max_completion_tokens" if "://api.openai.com" in options["base_url"] else "max_tokens"
        super().__init__(endpoint, Dialects(CHAT, LAST), ChatReader, openai.AsyncOpenAI(**options))

    def _body(self, request: Request) -> Json:
        limit = wire.max_output(request, self._endpoint.settings.max_output)
        asked = {self._limit_name: limit, "stream_options": {"include_usage": True}}
        return chat_body(request, self.name) | asked

    def _opened(self, request: Request, body: Json) -> Any:
        create = self._client.chat.completions.with_streaming_response.create
        return create(model=request.model, messages=[], stream=True, extra_body=body)


def chat_body(request: Request, provider: str) -> Json:
    """The request's body for Chat Completions, with plain strings, which every server accepts."""
    messages: list[Json] = []
    if request.system.strip():
        messages.append({"role": "system", "content": utf8_text(request.system)})
    ids: dict[CallId, str] = {}
    for role, blocks in wire.merged(request, provider):
        messages.extend(_user(blocks, ids) if role == "user" else [_assistant(blocks, ids)])
    body: Json = {"model": request.model, "messages": messages}
    if request.tools:
        body["tools"] = [{"type": "function", "function": wire.wire_function(tool)} for tool in request.tools]
    return body


def _user(blocks: list[Block], ids: dict[CallId, str]) -> list[Json]:
    messages: list[Json] = [
        {
            "role": "tool",
            "tool_call_id": ids.get(block.id) or wire.wire_id(block.id),
            "content": wire.wire_answer(block),
        }
        for block in blocks
        if isinstance(block, ToolAnswer)
    ]
    text = _text(blocks)
    return [*messages, {"role": "user", "content": text}] if text else messages


def _assistant(blocks: list[Block], ids: dict[CallId, str]) -> Json:
    """An assistant's message, with the fields that the server added. Adds to `ids` those that are the server's own."""
    added: Json = {}
    of_calls: list[Json] = []
    calls: list[Json] = []
    for block in blocks:
        if isinstance(block, Opaque):  # stands before the calls that it is about
            message, of_calls = kept_fields.restored(block)
            added |= message
        elif isinstance(block, ToolCall):
            call = _call(block, of_calls.pop(0) if of_calls else {})
            ids[block.id] = str(call["id"])
            calls.append(call)
    message = {"role": "assistant", "content": _text(blocks) or (None if calls else ""), **added}
    return message | ({"tool_calls": calls} if calls else {})


def _call(block: ToolCall, added: Json) -> Json:
    function = {"name": wire.wire_name(block.tool), "arguments": wire.wire_arguments(block.arguments)}
    return {
        "id": wire.wire_id(block.id),
        **added,
        "type": "function",
        "function": {**wire.json_object(added.get("function")), **function},
    }


def _text(blocks: list[Block]) -> str:
    return utf8_text("\n\n".join(block.text for block in blocks if isinstance(block, Text)))

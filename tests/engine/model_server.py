"""A model server on the loopback interface. It speaks every provider's protocol; a test scripts it with `Turn`s."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from engine.domain.conversation import Block, Message, Request, Text, ToolAnswer, ToolCall, Turn
from engine.domain.types import CallId
from tests.engine.models.dialects import DIALECTS, Called, Dialect
from tests.engine.models.raw_server import RawServer, Seen, Step, serving, stream

Brain = Callable[[Request], Turn]
BY_PATH = {dialect.path: dialect for dialect in DIALECTS}
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


@dataclass(frozen=True)
class ModelServer:
    """Its address, and the body of every request, as JSON bytes."""

    raw: RawServer

    @property
    def bodies(self) -> list[str]:
        return [json.dumps(seen.body, ensure_ascii=False) for seen in self.raw.seen]

    @property
    def requests(self) -> list[Request]:
        return [decoded(BY_PATH[seen.path], seen.body) for seen in self.raw.seen]

    def environ(self) -> dict[str, str]:
        """Environment variables with which every provider uses this server."""
        return {
            "ANTHROPIC_API_KEY": "key-anthropic",
            "ANTHROPIC_BASE_URL": self.raw.url,
            "OPENAI_API_KEY": "key-openai",
            "OPENAI_BASE_URL": f"{self.raw.url}/v1",
        }


@asynccontextmanager
async def model_server(brain: Brain) -> AsyncIterator[ModelServer]:
    """Serve the answers of `brain` in all three protocols."""

    def script(seen: Seen) -> list[Step]:
        dialect = BY_PATH[seen.path]
        return answered(dialect, brain(decoded(dialect, seen.body)))

    async with serving(script) as raw:
        yield ModelServer(raw)


def answered(dialect: Dialect, turn: Turn) -> list[Step]:
    """A turn as the stream of a server."""
    texts = [block.text for block in turn.message.blocks if isinstance(block, Text)]
    calls = tuple(Called(str(call.id), call.tool, (call.arguments,)) for call in turn.message.calls)
    return stream(dialect.answer(*texts, calls=calls))


def decoded(dialect: Dialect, body: dict[str, Any]) -> Request:
    """The request in a body, as the engine's `Request`, without tools."""
    if dialect.name == "anthropic":
        system = "\n".join(block["text"] for block in body["system"])
        messages = [Message(m["role"], tuple(map(_anthropic_block, m["content"]))) for m in body["messages"]]
    elif dialect.name == "openai":
        system, messages = body.get("instructions", ""), _grouped(map(_responses_item, body["input"]))
    else:
        system = body["messages"][0]["content"]
        messages = _grouped(pair for message in body["messages"][1:] for pair in _chat_message(message))
    return Request(body["model"], system, tuple(messages), ())


def _anthropic_block(block: dict[str, Any]) -> Block:
    match block["type"]:
        case "text":
            return Text(block["text"])
        case "tool_use":
            return ToolCall(CallId(block["id"]), block["name"], json.dumps(block["input"]))
        case "tool_result":
            content = block["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            return ToolAnswer(CallId(block["tool_use_id"]), text, block.get("is_error", False))
        case other:
            raise AssertionError(f"unexpected block {other}")


def _responses_item(item: dict[str, Any]) -> tuple[str, Block]:
    match item.get("type", "message"):
        case "function_call":
            return "assistant", ToolCall(CallId(item["call_id"]), item["name"], item["arguments"])
        case "function_call_output":
            return "user", ToolAnswer(CallId(item["call_id"]), item["output"])
        case _:
            content = item["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            return item["role"], Text(text)


def _chat_message(message: dict[str, Any]) -> list[tuple[str, Block]]:
    if message["role"] == "tool":
        return [("user", ToolAnswer(CallId(message["tool_call_id"]), message["content"]))]
    blocks: list[tuple[str, Block]] = []
    if message.get("content"):
        blocks.append((message["role"], Text(message["content"])))
    for call in message.get("tool_calls", ()):
        function = call["function"]
        blocks.append(("assistant", ToolCall(CallId(call["id"]), function["name"], function["arguments"])))
    return blocks


def _grouped(pairs: Any) -> list[Message]:
    """Joins consecutive blocks of one role into one message."""
    messages: list[Message] = []
    for role, block in pairs:
        if messages and messages[-1].role == role:
            messages[-1] = Message(role, (*messages[-1].blocks, block))
        else:
            messages.append(Message(role, (block,)))
    return messages

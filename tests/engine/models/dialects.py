"""The three wire protocols from the server's side: the streams of a well-behaved server, written by hand."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from engine.domain.conversation import Message, Request, Text, ToolSpec
from engine.domain.settings import ProviderSettings
from engine.models.endpoint import Endpoint
from engine.models.registry import open_provider
from engine.ports.protocols import Provider
from tests.engine.models.real_clock import RealClock
from tests.simulated.time import SeededRandomness

KEY = "sk-secret-0123456789abcdef"
SHELL = ToolSpec(
    "shell",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
FIRST = Request("a-model", "You are a worker.", (Message("user", (Text("Do it."),)),), (SHELL,), 1000, "agent-1")


@dataclass(frozen=True)
class Called:
    """A tool call as a server streams it: the arguments in pieces of JSON text."""

    id: str
    tool: str
    pieces: tuple[str, ...]


TWO_CALLS = (
    Called("call_one_11", "shell", ('{"comm', 'and": "ls', ' -l"}')),
    Called("call_two_22", "shell", ('{"command": "grüß \\"gott\\""}',)),
)


class Dialect(ABC):
    """One protocol. `path` is where its requests go."""

    name: str
    path: str

    def open(self, url: str, **settings: Any) -> Provider:
        base_url = url if self.name == "anthropic" else f"{url}/v1"
        made_from = Endpoint(self.name, ProviderSettings(**settings), RealClock(), SeededRandomness(1), KEY, base_url)
        return open_provider(made_from)

    @abstractmethod
    def answer(self, *pieces: str, calls: tuple[Called, ...] = ()) -> list[bytes]:
        """The events of a complete turn with text (in pieces) and calls. Usage: 120 input tokens, 100 of them read
        from the cache and 15 written to it, and 7 output tokens."""

    @abstractmethod
    def cut_at_limit(self, text: str) -> list[bytes]:
        """A turn cut off at its output limit."""

    @abstractmethod
    def broken_off(self, code: str, message: str) -> bytes:
        """An error event inside a stream."""

    @abstractmethod
    def error_body(self, code: str, message: str) -> dict[str, Any]:
        """The body of an error answer."""

    @abstractmethod
    def answers_in(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        """The tool answers in a request's body: the call's id, and the text."""

    @abstractmethod
    def calls_in(self, body: dict[str, Any]) -> list[tuple[str, str, Any]]:
        """The earlier tool calls in a request's body: id, tool, decoded arguments."""

    overloaded: str
    """The code of an overload inside a stream."""


def named(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def unnamed(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


class AnthropicDialect(Dialect):
    name = "anthropic"
    path = "/v1/messages"
    overloaded = "overloaded_error"

    def answer(self, *pieces: str, calls: tuple[Called, ...] = ()) -> list[bytes]:
        events = [self.start(), named({"type": "ping"})]
        index = 0
        if pieces:
            events += self.block(
                index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": p} for p in pieces)
            )
            index += 1
        for call in calls:
            start = {"type": "tool_use", "id": call.id, "name": call.tool, "input": {}}
            events += self.block(index, start, *({"type": "input_json_delta", "partial_json": p} for p in call.pieces))
            index += 1
        return [*events, *self.end("tool_use" if calls else "end_turn")]

    def cut_at_limit(self, text: str) -> list[bytes]:
        return [
            self.start(),
            *self.block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": text}),
            *self.end("max_tokens"),
        ]

    def start(self) -> bytes:
        usage = {
            "input_tokens": 5,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 15,
            "output_tokens": 1,
        }
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
        return named({"type": "message_start", "message": message})

    def block(self, index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
        return [
            named({"type": "content_block_start", "index": index, "content_block": start}),
            *(named({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
            named({"type": "content_block_stop", "index": index}),
        ]

    def end(self, reason: str) -> list[bytes]:
        delta = {"stop_reason": reason, "stop_sequence": None}
        return [
            named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}),
            named({"type": "message_stop"}),
        ]

    def broken_off(self, code: str, message: str) -> bytes:
        return named({"type": "error", "error": {"type": code, "message": message}})

    def error_body(self, code: str, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": code, "message": message}}

    def answers_in(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        blocks = [block for message in body["messages"] for block in message["content"]]
        return [(block["tool_use_id"], block["content"]) for block in blocks if block["type"] == "tool_result"]

    def calls_in(self, body: dict[str, Any]) -> list[tuple[str, str, Any]]:
        blocks = [block for message in body["messages"] for block in message["content"]]
        return [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]


class ResponsesDialect(Dialect):
    name = "openai"
    path = "/v1/responses"
    overloaded = "server_is_overloaded"

    def answer(self, *pieces: str, calls: tuple[Called, ...] = ()) -> list[bytes]:
        items: list[dict[str, Any]] = []
        events = [named({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}})]
        if pieces:
            part = {"type": "output_text", "text": "".join(pieces), "annotations": []}
            item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
            deltas = [{"type": "response.output_text.delta", "delta": piece} for piece in pieces]
            events += self.item(len(items), item, *deltas)
            items.append(item)
        for call in calls:
            item = {
                "type": "function_call",
                "id": "fc_" + call.id,
                "call_id": call.id,
                "name": call.tool,
                "arguments": "".join(call.pieces),
                "status": "completed",
            }
            deltas = [{"type": "response.function_call_arguments.delta", "delta": piece} for piece in call.pieces]
            events += self.item(len(items), item, *deltas)
            items.append(item)
        return [*events, self.end("response.completed", items)]

    def cut_at_limit(self, text: str) -> list[bytes]:
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "incomplete", "content": [part]}
        return [
            *self.item(0, item, {"type": "response.output_text.delta", "delta": text}),
            self.end("response.incomplete", [item], incomplete_details={"reason": "max_output_tokens"}),
        ]

    def item(self, index: int, item: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
        return [
            named({"type": "response.output_item.added", "output_index": index, "item": {"type": item["type"]}}),
            *(named(delta | {"output_index": index}) for delta in deltas),
            named({"type": "response.output_item.done", "output_index": index, "item": item}),
        ]

    def end(self, kind: str, items: list[dict[str, Any]], **more: Any) -> bytes:
        details = {"cached_tokens": 100, "cache_write_tokens": 15}
        usage = {"input_tokens": 120, "input_tokens_details": details, "output_tokens": 7}
        response = {"id": "resp_1", "status": kind.split(".")[1], "output": items, "usage": usage, **more}
        return named({"type": kind, "response": response})

    def broken_off(self, code: str, message: str) -> bytes:
        failed = {"id": "resp_1", "status": "failed", "error": {"code": code, "message": message}}
        return named({"type": "response.failed", "response": failed})

    def error_body(self, code: str, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": code, "param": None, "code": code}}

    def answers_in(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        return [(item["call_id"], item["output"]) for item in body["input"] if item["type"] == "function_call_output"]

    def calls_in(self, body: dict[str, Any]) -> list[tuple[str, str, Any]]:
        return [
            (item["call_id"], item["name"], json.loads(item["arguments"]))
            for item in body["input"]
            if item["type"] == "function_call"
        ]


class ChatDialect(Dialect):
    name = "openai-chat"
    path = "/v1/chat/completions"
    overloaded = "server_is_overloaded"
    usage = {
        "prompt_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 15},
        "completion_tokens": 7,
    }

    def answer(self, *pieces: str, calls: tuple[Called, ...] = ()) -> list[bytes]:
        events = [self.delta(role="assistant", content="")]
        events += [self.delta(content=piece) for piece in pieces]
        for index, call in enumerate(calls):
            function = {"name": call.tool, "arguments": ""}
            events.append(
                self.delta(tool_calls=[{"index": index, "id": call.id, "type": "function", "function": function}])
            )
            events += [
                self.delta(tool_calls=[{"index": index, "function": {"arguments": piece}}]) for piece in call.pieces
            ]
        return [*events, *self.end("tool_calls" if calls else "stop")]

    def cut_at_limit(self, text: str) -> list[bytes]:
        return [self.delta(content=text), *self.end("length")]

    def delta(self, **delta: Any) -> bytes:
        return unnamed({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def end(self, reason: str) -> list[bytes]:
        return [
            unnamed({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}),
            unnamed({"id": "chatcmpl-1", "choices": [], "usage": self.usage}),
            b"data: [DONE]\n\n",
        ]

    def broken_off(self, code: str, message: str) -> bytes:
        return unnamed({"error": {"message": message, "type": code, "code": code}})

    def error_body(self, code: str, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": code, "param": None, "code": code}}

    def answers_in(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        return [(m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool"]

    def calls_in(self, body: dict[str, Any]) -> list[tuple[str, str, Any]]:
        calls = [call for message in body["messages"] for call in message.get("tool_calls", [])]
        return [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]


DIALECTS: list[Dialect] = [AnthropicDialect(), ResponsesDialect(), ChatDialect()]

"""What all wire protocols share: valid ids, names and arguments, merged messages, token counts."""

import hashlib
import re
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Raw

from engine.domain.conversation import Block, Opaque, Request, Text, ToolAnswer, ToolCall, ToolSpec
from engine.domain.os_text import utf8_text
from engine.domain.types import CallId, Usage

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]")
_MAX_TOKENS = 1_000_000_000
CHARS_PER_TOKEN = 4
_FRAMING = 1_000
"""Tokens that a provider may add around messages and tools."""

Json = dict[str, object]


def json_object(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def json_objects(value: object) -> list[Json]:
    """The objects in a list; empty if the value is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def merged(request: Request, provider: str) -> list[tuple[Literal["user", "assistant"], list[Block]]]:
    """The conversation as alternating messages: neighbours of one role joined, answers before text, nothing empty.

    Blocks of other providers and models are left out. So are messages of reasoning alone (the model was cut off), which
    servers reject.
    """
    turns: list[tuple[Literal["user", "assistant"], list[Block]]] = []
    for message in request.messages:
        blocks = [block for block in message.blocks if _sendable(block, provider, request.model)]
        if all(isinstance(block, Opaque) for block in blocks):
            continue
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message.role, blocks))
    for role, blocks in turns:
        if role == "user":
            blocks.sort(key=lambda block: not isinstance(block, ToolAnswer))  # stable: keeps the order otherwise
    return turns


def _sendable(block: Block, provider: str, model: str) -> bool:
    match block:
        case Text():
            return bool(block.text.strip())
        case Opaque():
            return block.provider == provider and block.model in ("", model)
        case _:
            return True


def wire_id(call: CallId) -> str:
    """The id in a form that any provider accepts; an invalid id always maps to the same valid one."""
    return call if _ID.fullmatch(call) else "call_" + _digest(call)


def wire_name(tool: str) -> str:
    """The tool name in a form that any provider accepts; a model may have invented it."""
    return _NOT_NAME.sub("_", tool)[:64] or "unknown"


def wire_arguments(arguments: str) -> str:
    """An earlier call's arguments as a JSON object, which servers require even if the model sent something else."""
    text = utf8_text(arguments)
    with suppress(msgspec.DecodeError, RecursionError):
        if isinstance(msgspec.json.decode(text), dict):
            return text
    return msgspec.json.encode({"invalid_json": text}).decode()


def wire_function(tool: ToolSpec) -> Json:
    """A tool as both of OpenAI's protocols describe a function."""
    return {"name": wire_name(tool.name), "description": utf8_text(tool.description), "parameters": tool.schema}


def wire_answer(block: ToolAnswer) -> str:
    """A tool's answer as text, for protocols that have no field for its failure."""
    text = utf8_text(block.text)
    return f"error: {text}" if block.error and not text.startswith("error") else text


class CallIds:
    """Gives the calls of one turn ids that are unique in the conversation.

    A server's id is kept if it is valid. A missing, repeated or very short one (`call_0`) is replaced by a hash of the
    conversation and the answer's place in it, so that the same stream gets the same id.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._taken = {call.id for message in request.messages for call in message.calls}
        self._seed = ""
        self._count = 0

    def take(self, given: object, answer_id: str) -> CallId:
        self._count += 1
        if isinstance(given, str) and _ID.fullmatch(given) and given not in self._taken:
            call = CallId(given)
        else:
            call = CallId("call_" + _digest(f"{self._place()}\0{answer_id}\0{self._count}"))
        self._taken.add(call)
        return call

    def _place(self) -> str:
        if not self._seed:
            last = self._request.messages[-1:]
            encoded = msgspec.json.encode(last).decode("utf-8", "replace")
            self._seed = f"{self._request.conversation}\0{len(self._request.messages)}\0{encoded}"
        return self._seed


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def opaque(provider: str, model: str, data: object) -> Opaque:
    """A block of a provider's model, stored to be sent back unchanged."""
    return Opaque(provider, Raw(msgspec.json.encode(data)), model)


def count(value: object) -> int | None:
    """A server's token count; None unless it is a plausible number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TOKENS:
        return None
    return int(value)


def usage(request: Request, blocks: list[Block], given: tuple[object, object, object, object]) -> Usage:
    """The usage from the server's input, cached, written and output tokens; missing counts are estimated."""
    given_input, given_cached, given_written, given_output = map(count, given)
    if not given_input:  # no call has an empty input: zero means that the server does not count tokens
        given_input = estimate(request)
    if given_output is None or (given_output == 0 and blocks):
        given_output = sum(map(_length, blocks)) // CHARS_PER_TOKEN + 1
    cached = min(given_cached or 0, given_input)
    return Usage(given_input, cached, given_output, written=min(given_written or 0, given_input - cached))


def cut_usage(request: Request, heard: str, given: tuple[object, object, object] = (None,) * 3) -> Usage:
    """The usage of an answer that broke off after `heard`; `given` are input, cached and written tokens."""
    return usage(request, [Text(heard)], (*given, None))


def estimate(request: Request) -> int:
    """A request's input tokens, estimated at four characters per token."""
    if request.counted:
        return request.counted + sum(map(_length, request.messages[-1].blocks)) // CHARS_PER_TOKEN + 1
    length = len(request.system) + sum(_length(block) for message in request.messages for block in message.blocks)
    length += sum(len(tool.name) + len(tool.description) + len(str(tool.schema)) for tool in request.tools)
    return length // CHARS_PER_TOKEN + 1


def most_input(request: Request) -> int:
    """The most input tokens that a request can have: a token is at least one byte.

    What the provider has counted already needs no estimate; only the last message is new.
    """
    if request.counted:
        return request.counted + len(msgspec.json.encode(request.messages[-1:])) + _FRAMING
    return len(msgspec.json.encode(request)) + _FRAMING


def _length(block: Block) -> int:
    match block:
        case Text() | ToolAnswer():
            return len(block.text)
        case ToolCall():
            return len(block.tool) + len(block.arguments)
        case Opaque():
            return len(bytes(block.data))


def max_output(request: Request, limit: int) -> int:
    """The model's output limit: what was asked for, at most `limit` if that is set."""
    return max(1, min(request.max_output, limit) if limit > 0 else request.max_output)

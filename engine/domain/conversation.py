"""The conversation between an agent and its model, in a form that belongs to no provider."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from msgspec import Raw, Struct, json

from engine.domain.types import CallId, Usage

_LEFT_OUT = {"title", "$defs", "minLength", "maxLength", "minimum", "maximum"}
"""Keys of a JSON Schema that a model does not need."""


class Text(Struct, frozen=True, tag="text"):
    text: str


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """A model calls a tool. `arguments` is JSON text as the model wrote it, valid or not.

    Before a call is recorded, what can mean only one thing is read as that (see engine.policy.tool_call_reading).
    """

    id: CallId
    tool: str
    arguments: str


class ToolAnswer(Struct, frozen=True, tag="tool_answer"):
    """A tool's answer. Every call gets exactly one."""

    id: CallId
    text: str
    error: bool = False


class Opaque(Struct, frozen=True, tag="opaque"):
    """A provider's own block, such as signed thinking or encrypted reasoning, that must be sent back unchanged.

    It is sent to no other provider, and to no other model. `model` is empty in journals of older versions.
    """

    provider: str
    data: Raw
    model: str = ""


Block = Text | ToolCall | ToolAnswer | Opaque


class Message(Struct, frozen=True):
    """One message of a conversation. Tool answers are in a `user` message, before its text."""

    role: Literal["user", "assistant"]
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(block.text for block in self.blocks if isinstance(block, Text))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(block for block in self.blocks if isinstance(block, ToolCall))


class ToolSpec(Struct, frozen=True):
    """A tool as a model sees it. `schema` is a JSON Schema object for the arguments.

    It describes each property and gives the default of each optional one. The bounds of engine.domain.bounds are left
    out: no call that makes sense comes near them.
    """

    name: str
    description: str
    schema: dict[str, object]

    @classmethod
    def of(
        cls, name: str, description: str, arguments: type[Struct], limits: Mapping[str, float] | None = None
    ) -> "ToolSpec":
        """`limits`: arguments whose default is the most that is possible, with that value."""
        schema = _inline(json.schema(arguments))
        for argument, most in (limits or {}).items():
            value = int(most) if most.is_integer() else most
            schema["properties"][argument] |= {"default": value, "maximum": value}
        return cls(name, description, schema)


class Request(Struct, frozen=True):
    """One model call. `model` is the name without its provider; `max_output` is in tokens.

    `conversation` is an id that a provider's prompt cache recognises the conversation by. `counted`: tokens that the
    provider has counted for all messages but the last; 0: it has not.
    """

    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    max_output: int = 16_000
    conversation: str = ""
    counted: int = 0


class StopReason(StrEnum):
    END = "end"
    TOOLS = "tools"
    LENGTH = "length"
    REFUSAL = "refusal"


class Turn(Struct, frozen=True):
    """A model's complete answer: one that arrived up to its stop reason.

    `doubt`: why the use that the provider reported is impossible, if it is; `usage` is then the most that is possible.
    """

    message: Message
    stop: StopReason
    usage: Usage
    doubt: str = ""


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace each `$ref` with its definition (not every provider handles `$defs`), and drop titles, docstrings
    and bounds."""
    definitions = schema.get("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            definition = definitions[node["$ref"].rsplit("/", 1)[1]]
            return walk({key: value for key, value in definition.items() if key != "description"} | beside)
        return {
            key: {name: walk(value) for name, value in child.items()} if key == "properties" else walk(child)
            for key, child in node.items()
            if key not in _LEFT_OUT
        }

    inlined: dict[str, Any] = walk(schema)
    return inlined

"""How a request for Chat Completions is changed for a server that refuses it: one function for each difference.

Each gets the request's body, which it changes in place, and the text of the refusal. A body without what a function is
about stays as it is.
"""

import hashlib
import re
from collections.abc import Callable
from typing import cast

import msgspec

from engine.models.adapters import kept_fields
from engine.models.adapters import wire_format as wire
from engine.models.adapters.wire_format import Json

_BRIDGE = "Understood."
_NO_TEXT = "(no text)"
_UNSIGNED = "skip_thought_signature_validator"
"""What Google documents for calls that another model made."""
_PLAIN = ("type", "description", "properties", "required", "items", "enum")
LIMIT = (
    r"max[_ ](?:completion_|new_|output_)?tokens(?:.{0,200}?(?:at most|less than or equal to|no more than|up to|<=|≤"
    r"|cannot exceed|maximum(?! (?:context|model|input|prompt))(?: \w+){0,3}|\[\d+,"
    r"|(?:range|between)[^\d]{0,60}\d+\s*(?:,|and|to|-))|\W{0,3}(?:\d+\W{0,2})?>)\W{0,3}(\d{2,9})"
)


def _messages(body: Json, *roles: str) -> list[Json]:
    return [message for message in wire.json_objects(body.get("messages")) if message.get("role") in roles]


def _calls(body: Json) -> list[Json]:
    return [call for message in _messages(body, "assistant") for call in wire.json_objects(message.get("tool_calls"))]


def dropping(name: str) -> Callable[[Json, str], None]:
    def change(body: Json, text: str) -> None:
        body.pop(name, None)

    return change


def drop_reasoning(body: Json, text: str) -> None:
    """Leave out reasoning that another server, or another key, has signed or encrypted."""
    if "input" in body:
        body["input"] = [item for item in wire.json_objects(body["input"]) if item.get("type") != "reasoning"]
    for message in wire.json_objects(body.get("messages")):
        content = wire.json_objects(message["content"])
        message["content"] = [part for part in content if part["type"] not in ("thinking", "redacted_thinking")]


def drop_cache_control(body: Json, text: str) -> None:
    content = [
        part for message in wire.json_objects(body["messages"]) for part in wire.json_objects(message["content"])
    ]
    for part in (*wire.json_objects(body.get("system")), *wire.json_objects(body.get("tools")), *content):
        part.pop("cache_control", None)


def lower_limit(body: Json, text: str) -> None:
    found = re.search(LIMIT, text, re.IGNORECASE | re.DOTALL)
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if found is not None and name in body:
            body[name] = min(cast(int, body[name]), int(found[1]))


def rename_limit(body: Json, text: str) -> None:
    names = ("max_tokens", "max_completion_tokens")
    old, new = names if names[0] in body else names[::-1]
    body[new] = body.pop(old)


def fold_system(body: Json, text: str) -> None:
    messages = cast(list[Json], body["messages"])
    if len(messages) > 1 and messages[0]["role"] == "system" and messages[1]["role"] == "user":
        messages[1]["content"] = f"{messages[0]['content']}\n\n{messages[1]['content']}"
        del messages[0]


def bridge(body: Json, text: str) -> None:
    messages: list[Json] = []
    for message in wire.json_objects(body.get("messages")):
        if message["role"] == "user" and messages and messages[-1]["role"] == "tool":
            messages.append({"role": "assistant", "content": _BRIDGE})
        messages.append(message)
    body["messages"] = messages


def one_by_one(body: Json, text: str) -> None:
    answers = {answer["tool_call_id"]: answer for answer in _messages(body, "tool")}
    messages: list[Json] = []
    for message in _messages(body, "system", "user", "assistant"):
        calls = wire.json_objects(message.get("tool_calls"))
        for at, call in enumerate(calls):
            messages.append({**message, "tool_calls": [call], "content": None if at else message["content"]})
            messages.extend([answers[call["id"]]] if call["id"] in answers else [])
        messages.extend([] if calls else [message])
    body["messages"] = messages


def short_ids(body: Json, text: str) -> None:
    for holder, name in [
        *((call, "id") for call in _calls(body)),
        *((answer, "tool_call_id") for answer in _messages(body, "tool")),
    ]:
        given = str(holder[name])
        if not re.fullmatch("[A-Za-z0-9]{9}", given):
            holder[name] = hashlib.blake2b(given.encode(), digest_size=8).hexdigest()[:9]


def no_null(body: Json, text: str) -> None:
    for message in _messages(body, "assistant"):
        if message.get("content") is None:
            message["content"] = ""


def no_empty(body: Json, text: str) -> None:
    for message in _messages(body, "system", "user", "assistant", "tool"):
        if not str(message.get("content") or "").strip():
            message["content"] = _NO_TEXT


def name_answers(body: Json, text: str) -> None:
    names = {call["id"]: wire.json_object(call["function"]).get("name") for call in _calls(body)}
    for answer in _messages(body, "tool"):
        answer["name"] = names.get(answer["tool_call_id"], "unknown")


def decode_arguments(body: Json, text: str) -> None:
    for call in _calls(body):
        function = cast(Json, call["function"])
        if isinstance(function["arguments"], str):
            function["arguments"] = msgspec.json.decode(function["arguments"])


def forget_named(body: Json, text: str) -> None:
    _forget(body, lambda name, value: _mentions(text, name, value))


def forget_all(body: Json, text: str) -> None:
    _forget(body, lambda name, value: True)


def _forget(body: Json, unwanted: Callable[[str, object], bool]) -> None:
    holders = [(message, kept_fields.MESSAGE) for message in _messages(body, "assistant")]
    holders += [(call, kept_fields.CALL) for call in _calls(body)]
    holders += [(wire.json_object(call.get("function")), kept_fields.FUNCTION) for call in _calls(body)]
    for holder, known in holders:
        for name in holder.keys() - known:
            if unwanted(name, holder[name]):
                del holder[name]


def _mentions(text: str, name: str, value: object) -> bool:
    """Whether a refusal names a field or, if it is an object, one of the fields in it."""
    inner = value.items() if isinstance(value, dict) else ()
    return bool(re.search(rf"\b{re.escape(name)}\b", text)) or any(_mentions(text, *item) for item in inner)


def stand_in_reasoning(body: Json, text: str) -> None:
    for message in _messages(body, "assistant"):
        if not message.get("reasoning_content"):
            message["reasoning_content"] = wire.text_of(message.get("reasoning")) or " "


def stand_in_signature(body: Json, text: str) -> None:
    for message in _messages(body, "assistant"):
        for call in wire.json_objects(message.get("tool_calls"))[:1]:
            call.setdefault("extra_content", {"google": {"thought_signature": _UNSIGNED}})


def plain_tools(body: Json, text: str) -> None:
    for tool in wire.json_objects(body.get("tools")):
        function = cast(Json, tool["function"])
        if "parameters" in function:
            function["parameters"] = _plain(function["parameters"])


def _plain(schema: object) -> Json:
    """A JSON Schema with nothing but types, properties, items and enumerations; of alternatives the first."""
    node = wire.json_object(schema)
    for key in ("anyOf", "oneOf", "allOf"):
        options = [option for option in wire.json_objects(node.get(key)) if option.get("type") != "null"]
        node = {**node, **(options[0] if options else {})}
    plain = {key: node[key] for key in _PLAIN if key in node}
    if isinstance(kinds := plain.get("type"), list):
        plain["type"] = next((kind for kind in kinds if kind != "null"), "string")
    if "enum" in plain:
        plain.setdefault("type", "string")
    if "properties" in plain:
        plain["properties"] = {name: _plain(value) for name, value in wire.json_object(plain["properties"]).items()}
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    if not plain.get("required"):
        plain.pop("required", None)
    return plain


def no_empty_schema(body: Json, text: str) -> None:
    for tool in wire.json_objects(body.get("tools")):
        function = wire.json_object(tool["function"])
        if not wire.json_object(function.get("parameters")).get("properties"):
            function.pop("parameters", None)


def plainest(body: Json, text: str) -> None:
    sent = msgspec.json.encode(body)
    for change in (bridge, one_by_one, short_ids, no_null, no_empty, plain_tools):
        change(body, text)
    if msgspec.json.encode(body) != sent:
        fold_system(body, text)
        body.pop("stream_options", None)

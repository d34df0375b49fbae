"""How compatible servers differ: a table of what they refuse and what a request says instead, and what a run learned.

A refusal names its reason. The first row that recognises the text, has not been tried on this request and would change
it is learned for the model: this request is repeated with the change, and later ones are sent with it at once. So each
row costs a model at most one refusal, and no request is repeated more often than the table has rows.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from typing import cast

import msgspec
from msgspec import Struct

from engine.domain.conversation import Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.models.adapters import kept_fields
from engine.models.adapters import wire_format as wire
from engine.models.adapters.wire_format import Json

log = logging.getLogger("swarm")

_BRIDGE = "Understood."
_NO_TEXT = "(no text)"
_UNSIGNED = "skip_thought_signature_validator"
"""What Google documents for calls that another model made."""
_PLAIN = ("type", "description", "properties", "required", "items", "enum")
_NEVER = frozenset({401, 402, 403, 404, 408, 409, 413, 429})
"""Statuses that are not about the form of a request. Others may be: chat templates fail with status 500."""
_LIMIT = (
    r"max_(?:completion_|new_)?tokens.{0,200}?(?:at most|less than or equal to|no more than|up to|cannot exceed|<=|≤"
    r"|maximum(?! (?:context|model|input|prompt))(?: \w+){0,3}"
    r"|(?:range|between)[^\d]{0,60}\d+\s*(?:,|and|to|-))\W{0,3}(\d{2,9})"
)


class Row(Struct, frozen=True):
    """One difference: what requests do from then on, how a refusal is recognised, and the change.

    `change` gets the body, which it changes in place, and the text of the refusal.
    """

    does: str
    said: re.Pattern[str]
    change: Callable[[Json, str], None]


def _messages(body: Json, *roles: str) -> list[Json]:
    return [message for message in wire.json_objects(body.get("messages")) if message.get("role") in roles]


def _calls(body: Json) -> list[Json]:
    return [call for message in _messages(body, "assistant") for call in wire.json_objects(message.get("tool_calls"))]


def _drop(name: str) -> Callable[[Json, str], None]:
    def change(body: Json, text: str) -> None:
        body.pop(name, None)

    return change


def _lower_limit(body: Json, text: str) -> None:
    found = re.search(_LIMIT, text, re.IGNORECASE | re.DOTALL)
    for name in ("max_tokens", "max_completion_tokens"):
        if found is not None and name in body:
            body[name] = min(cast(int, body[name]), int(found[1]))


def _rename_limit(body: Json, text: str) -> None:
    old, new = "max_tokens", "max_completion_tokens"
    if new in body:
        old, new = new, old
    body[new] = body.pop(old)


def _fold_system(body: Json, text: str) -> None:
    messages = cast(list[Json], body["messages"])
    if len(messages) > 1 and messages[0]["role"] == "system" and messages[1]["role"] == "user":
        messages[1]["content"] = f"{messages[0]['content']}\n\n{messages[1]['content']}"
        del messages[0]


def _bridge(body: Json, text: str) -> None:
    messages: list[Json] = []
    for message in wire.json_objects(body.get("messages")):
        if message["role"] == "user" and messages and messages[-1]["role"] == "tool":
            messages.append({"role": "assistant", "content": _BRIDGE})
        messages.append(message)
    body["messages"] = messages


def _one_by_one(body: Json, text: str) -> None:
    answers = {str(answer["tool_call_id"]): answer for answer in _messages(body, "tool")}
    messages: list[Json] = []
    for message in _messages(body, "system", "user", "assistant"):
        calls = wire.json_objects(message.get("tool_calls"))
        if len(calls) < 2:
            messages.append(message)
        for at, call in enumerate(calls):
            if len(calls) > 1:
                messages.append({**message, "tool_calls": [call], "content": None if at else message["content"]})
            messages.extend([answers[str(call["id"])]] if str(call["id"]) in answers else [])
    body["messages"] = messages


def _short_ids(body: Json, text: str) -> None:
    for holder, name in [
        *((call, "id") for call in _calls(body)),
        *((answer, "tool_call_id") for answer in _messages(body, "tool")),
    ]:
        given = str(holder[name])
        if not re.fullmatch("[A-Za-z0-9]{9}", given):
            holder[name] = hashlib.blake2b(given.encode(), digest_size=8).hexdigest()[:9]


def _no_null(body: Json, text: str) -> None:
    for message in _messages(body, "assistant"):
        if message.get("content") is None:
            message["content"] = ""


def _no_empty(body: Json, text: str) -> None:
    for message in _messages(body, "system", "user", "assistant", "tool"):
        if not str(message.get("content") or "").strip():
            message["content"] = _NO_TEXT


def _name_answers(body: Json, text: str) -> None:
    names = {call["id"]: wire.json_object(call["function"]).get("name") for call in _calls(body)}
    for answer in _messages(body, "tool"):
        answer["name"] = names.get(answer["tool_call_id"], "unknown")


def _decode_arguments(body: Json, text: str) -> None:
    for call in _calls(body):
        function = cast(Json, call["function"])
        if isinstance(function["arguments"], str):
            function["arguments"] = msgspec.json.decode(function["arguments"])


def _forget_named(body: Json, text: str) -> None:
    _forget(body, lambda name, value: _mentions(text, name, value))


def _forget_all(body: Json, text: str) -> None:
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


def _stand_in_reasoning(body: Json, text: str) -> None:
    for message in _messages(body, "assistant"):
        if not message.get("reasoning_content"):
            message["reasoning_content"] = wire.text_of(message.get("reasoning")) or " "


def _stand_in_signature(body: Json, text: str) -> None:
    for message in _messages(body, "assistant"):
        for call in wire.json_objects(message.get("tool_calls"))[:1]:
            call.setdefault("extra_content", {"google": {"thought_signature": _UNSIGNED}})


def _plain_tools(body: Json, text: str) -> None:
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


def _no_empty_schema(body: Json, text: str) -> None:
    for tool in wire.json_objects(body.get("tools")):
        function = cast(Json, tool["function"])
        if not wire.json_object(function.get("parameters")).get("properties"):
            function.pop("parameters", None)


def _row(does: str, said: str, change: Callable[[Json, str], None]) -> Row:
    return Row(does, re.compile(said, re.IGNORECASE | re.DOTALL), change)


_NOT_KNOWN = (
    r"unsupported|not (?:permitted|allowed|supported|recogni[sz]ed|accepted|defined)|unknown|unrecogni[sz]ed|unexpected"
    r"|extra|additional propert|forbidden|cannot find field|remove"
)
RESPONSES = (_row("reasoning is not asked for", r"encrypted content is not supported", _drop("include")),)
CHAT = (
    _row("stream_options is left out", r"stream_options|include_usage", _drop("stream_options")),
    _row("the output limit is lowered to what the server allows", _LIMIT, _lower_limit),
    _row(
        "the output limit is sent under its other name",
        rf"\A(?!.*{_LIMIT}).*max_(?:completion_)?tokens",
        _rename_limit,
    ),
    _row(
        "the system prompt is part of the first message",
        r"system.{0,40}(?:not (?:supported|allowed)|unsupported)|not support.{0,40}\bsystem\b"
        r"|(?:invalid|unexpected|unknown|unsupported)(?: message)? role\W{0,4}system"
        r"|(?:system|developer) (?:instruction|message|prompt)s? (?:is|are) not|invalid chat setting",
        _fold_system,
    ),
    _row(
        "an assistant message follows a tool's answer",
        r"role\W{0,4}user\W{0,4}after role\W{0,4}tool|\balternat|tool.{0,60}followed by.{0,20}assistant",
        _bridge,
    ),
    _row(
        "calls and their answers are sent one by one",
        r"(?:single|parallel|multiple|only one|one) (?:tool|function).?calls?",
        _one_by_one,
    ),
    _row(
        "ids of tool calls are nine letters and digits",
        r"tool.?call.{0,40}\bid\b.{0,160}(?:length|long|pattern|character|a-z|format|alphanumeric)"
        r"|tool_calls?\S{0,20}\bid\b.{0,80}(?:too long|pattern|length)|tool_call_id.{0,80}(?:too long|pattern|length)",
        _short_ids,
    ),
    _row(
        "tools' answers carry the tool's name",
        r"\bname\b.{0,60}(?:required|missing|cannot be empty|must)|missing.{0,40}\bname\b",
        _name_answers,
    ),
    _row(
        "arguments of tool calls are sent as objects",
        r"arguments.{0,80}(?:an? (?:valid )?(?:object|mapping|dict)|struct)|item pairs from a mapping",
        _decode_arguments,
    ),
    _row(
        "fields that the server added and does not take are not sent back",
        _NOT_KNOWN,
        _forget_named,
    ),
    _row(
        "reasoning is sent back with every answer",
        r"reasoning_content.{0,80}(?:missing|must be|required|needs? to|not (?:provided|found|present))"
        r"|(?:missing|require).{0,60}reasoning_content",
        _stand_in_reasoning,
    ),
    _row("calls of other models carry a stand-in for a signature", r"thought_?signature", _stand_in_signature),
    _row(
        "answers without text have empty text instead of none",
        r"content.{0,160}(?:null|nil|none|string|missing|required)|(?:null|nil|none).{0,80}content|of null|NoneType",
        _no_null,
    ),
    _row(
        "no message is empty",
        r"(?:content|message|text|role).{0,120}(?:empty|blank|at least 1 char|whitespace|required)"
        r"|empty.{0,60}(?:content|message|text)",
        _no_empty,
    ),
    _row(
        "tools without arguments have no schema",
        r"properties.{0,80}(?:empty|at least one)",
        _no_empty_schema,
    ),
    _row(
        "tools are described by plain schemas",
        r"additionalProperties|any_?Of|one_?Of|all_?Of|\$ref|\$defs|schema|m(?:ax|in)(?:Length|imum|Items)"
        r"|function_declarations|\btools?\b.{0,80}(?:parameters|\bdefault\b|\bformat\b)",
        _plain_tools,
    ),
    _row(
        "no field that the server added is sent back",
        rf"(?:messages?\b|assistant).{{0,200}}(?:{_NOT_KNOWN})|(?:{_NOT_KNOWN}).{{0,200}}(?:messages?\b|assistant)",
        _forget_all,
    ),
)


def _plainest(body: Json, text: str) -> None:
    sent = msgspec.json.encode(body)
    for change in (_bridge, _one_by_one, _short_ids, _no_null, _no_empty, _plain_tools):
        change(body, text)
    if msgspec.json.encode(body) != sent:
        _fold_system(body, text)
        body.pop("stream_options", None)


LAST = (
    Row("requests are sent in the plainest form", re.compile(""), _plainest),
    Row("requests are sent in the plainest form, without fields that the server added", re.compile(""), _forget_all),
)
"""What is tried once for each model after a refusal that no row recognises, and kept if the server takes it."""


class Dialects:
    """What the servers of one provider have refused, by model. Lasts as long as the provider: for the run."""

    def __init__(self, table: tuple[Row, ...], last: tuple[Row, ...] = ()) -> None:
        self._table, self._last = table, last
        self._learned: dict[str, dict[Row, str]] = {}
        self._unrecognised: set[str] = set()
        """Models for which the last rows have been tried."""

    async def ask(self, model: str, body: Callable[[], Json], send: Callable[[Json], Awaitable[Turn]]) -> Turn:
        """Send a request in the model's dialect.

        Raises ModelError: `learned` if a row has just been learned, so that the next try is another request.
        """
        while True:
            request, learned = body(), dict(self._learned.get(model, {}))
            for row in (*self._table, *self._last):
                if row in learned:
                    row.change(request, learned[row])
            try:
                return await send(request)
            except ModelError as error:
                new = self._recognised(request, learned, error)
                if new is None and (turn := await self._plainly(model, request, send, error)) is not None:
                    return turn
                if new is None:
                    raise
                if new not in self._learned.setdefault(model, {}):  # else another call has learned it meanwhile
                    self._learned[model][new] = error.said
                    error.message = f"from now on {new.does}, because the server said: {error.message}"
                    error.kind, error.retry_after, error.learned = ModelErrorKind.RETRYABLE, 0.0, True
                    raise

    async def _plainly(
        self, model: str, body: Json, send: Callable[[Json], Awaitable[Turn]], error: ModelError
    ) -> Turn | None:
        """The answer to the request in the plainest form, if it helps against a refusal that no row recognises."""
        if error.kind is not ModelErrorKind.BAD_REQUEST or not error.said or model in self._unrecognised:
            return None
        self._unrecognised.add(model)
        tried: dict[Row, str] = {}
        for row in self._last:
            sent = msgspec.json.encode(body)
            row.change(body, error.said)
            tried[row] = error.said
            if msgspec.json.encode(body) == sent:
                continue
            with suppress(ModelError):
                turn = await send(body)
                self._learned.setdefault(model, {}).update(tried)
                log.warning("%s: from now on %s, because the server said: %s", model, row.does, error.message)
                return turn
        return None

    def _recognised(self, body: Json, learned: Container[Row], error: ModelError) -> Row | None:
        """The first row that a refusal of `body` is about and that would change it."""
        if error.kind is ModelErrorKind.REFUSED or error.status in _NEVER or not error.said:
            return None
        sent = msgspec.json.encode(body)
        for row in self._table:
            if row in learned or not row.said.search(error.said):
                continue
            if error.kind is ModelErrorKind.CONTEXT_LENGTH and row.change not in (_lower_limit, _short_ids):
                continue
            row.change(body, error.said)
            if msgspec.json.encode(body) != sent:
                return row
        return None

"""How compatible servers differ: tables of what they refuse and what a request says instead, and what a run learned.

A refusal names its reason. The first row that recognises the text, has not been tried on this request and would change
it is learned for the model: this request is repeated with the change, and later ones are sent with it at once. So each
row costs a model at most one refusal, and no request is repeated more often than the table has rows.
"""

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress

import msgspec
from msgspec import Struct

from engine.domain.conversation import Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.models.adapters import request_changes as change
from engine.models.adapters.wire_format import Json

log = logging.getLogger("swarm")

_NEVER = frozenset({401, 402, 403, 404, 408, 409, 413, 429})
"""Statuses that are not about the form of a request. Others may be: chat templates fail with status 500."""


class Row(Struct, frozen=True):
    """One difference: what requests do from then on, how a refusal is recognised, and the change.

    `change` gets the body, which it changes in place, and the text of the refusal.
    """

    does: str
    said: re.Pattern[str]
    change: Callable[[Json, str], None]


def _row(does: str, said: str, change: Callable[[Json, str], None]) -> Row:
    return Row(does, re.compile(said, re.IGNORECASE | re.DOTALL), change)


_NOT_KNOWN = (
    r"unsupported|not (?:permitted|allowed|supported|recogni[sz]ed|accepted|defined)|unknown|unrecogni[sz]ed|unexpected"
    r"|extra|additional propert|forbidden|cannot find field|remove"
)
_REASONING = _row(
    "earlier reasoning is not sent back",
    r"encrypted.{0,200}(?:verified|decrypt|invalid)|invalid.{0,20}signature"
    r"|(?:signature|thinking).{0,80}(?:invalid|required|not valid|unexpected)",
    change.drop_reasoning,
)
_LOWER = _row("the output limit is lowered to what the server allows", change.LIMIT, change.lower_limit)
MESSAGES = (_LOWER, _row("nothing is marked for the cache", r"cache_control", change.drop_cache_control), _REASONING)
RESPONSES = (
    _LOWER,
    _row("reasoning is not asked for", r"encrypted content is not supported", change.dropping("include")),
    _REASONING,
    *(
        _row(
            f"{name} is left out",
            rf"\b{name}\b.{{0,80}}(?:{_NOT_KNOWN})|(?:{_NOT_KNOWN}).{{0,40}}\b{name}\b",
            change.dropping(name),
        )
        for name in ("include", "store", "prompt_cache_key", "max_output_tokens")
    ),
)
CHAT = (
    _LOWER,
    _row("stream_options is left out", r"stream_options|include_usage", change.dropping("stream_options")),
    _row(
        "the output limit is sent under its other name",
        rf"\A(?!.*{change.LIMIT}).*max_(?:completion_)?tokens",
        change.rename_limit,
    ),
    _row(
        "the system prompt is part of the first message",
        r"system.{0,40}(?:not (?:supported|allowed)|unsupported)|not support.{0,40}\bsystem\b"
        r"|(?:invalid|unexpected|unknown|unsupported)(?: message)? role\W{0,4}system"
        r"|(?:system|developer) (?:instruction|message|prompt)s? (?:is|are) not|invalid chat setting",
        change.fold_system,
    ),
    _row(
        "an assistant message follows a tool's answer",
        r"role\W{0,4}user\W{0,4}after role\W{0,4}tool|\balternat|tool.{0,60}followed by.{0,20}assistant",
        change.bridge,
    ),
    _row(
        "calls and their answers are sent one by one",
        r"(?:single|parallel|multiple|only one|one) (?:tool|function).?calls?",
        change.one_by_one,
    ),
    _row(
        "ids of tool calls are nine letters and digits",
        r"tool.?call.{0,40}\bid\b.{0,160}(?:length|long|pattern|character|a-z|format|alphanumeric)"
        r"|tool_calls?\S{0,20}\bid\b.{0,80}(?:too long|pattern|length)|tool_call_id.{0,80}(?:too long|pattern|length)",
        change.short_ids,
    ),
    _row(
        "tools' answers carry the tool's name",
        r"\bname\b.{0,60}(?:required|missing|cannot be empty|must)|(?:missing|must have).{0,40}\bname\b",
        change.name_answers,
    ),
    _row(
        "arguments of tool calls are sent as objects",
        r"arguments.{0,80}(?:an? (?:valid )?(?:object|mapping|dict)|struct)|item pairs from a mapping",
        change.decode_arguments,
    ),
    _row(
        "fields that the server added and does not take are not sent back",
        _NOT_KNOWN,
        change.forget_named,
    ),
    _row(
        "reasoning is sent back with every answer",
        r"reasoning_content.{0,80}(?:missing|must be|required|needs? to|not (?:provided|found|present))"
        r"|(?:missing|require).{0,60}reasoning_content",
        change.stand_in_reasoning,
    ),
    _row("calls of other models carry a stand-in for a signature", r"thought_?signature", change.stand_in_signature),
    _row(
        "answers without text have empty text instead of none",
        r"content.{0,160}(?:null|nil|none|string|missing|required)|(?:null|nil|none).{0,80}content|of null|NoneType",
        change.no_null,
    ),
    _row(
        "no message is empty",
        r"(?:content|message|text|role).{0,120}(?:empty|blank|at least 1 char|whitespace|required)"
        r"|empty.{0,60}(?:content|message|text)",
        change.no_empty,
    ),
    _row(
        "tools without arguments have no schema",
        r"properties.{0,80}(?:empty|at least one)",
        change.no_empty_schema,
    ),
    _row(
        "tools are described by plain schemas",
        r"additionalProperties|any_?Of|one_?Of|all_?Of|\$ref|\$defs|schema|m(?:ax|in)(?:Length|imum|Items)"
        r"|function_declarations|\btools?\b.{0,80}(?:parameters|\bdefault\b|\bformat\b)",
        change.plain_tools,
    ),
    _row(
        "no field that the server added is sent back",
        rf"(?:messages?\b|assistant).{{0,200}}(?:{_NOT_KNOWN})|(?:{_NOT_KNOWN}).{{0,200}}(?:messages?\b|assistant)",
        change.forget_all,
    ),
)


LAST = (
    Row("requests are sent in the plainest form", re.compile(""), change.plainest),
    Row(
        "requests are sent in the plainest form, without fields that the server added",
        re.compile(""),
        change.forget_all,
    ),
)
"""What is tried once for each model after a refusal that no row recognises, and kept if the server takes it."""


class Dialects:
    """What the servers of one provider have refused, by model. Lasts as long as the provider: for the run."""

    def __init__(self, table: tuple[Row, ...], last: tuple[Row, ...] = ()) -> None:
        self._table, self._last = table, last
        self._learned: defaultdict[str, dict[Row, str]] = defaultdict(dict)
        self._unrecognised: set[str] = set()
        """Models for which the last rows have been tried without success."""
        self._trial = asyncio.Lock()

    async def ask(self, model: str, body: Callable[[], Json], send: Callable[[Json], Awaitable[Turn]]) -> Turn:
        """Send a request in the model's dialect.

        Raises ModelError: `learned` if a row has just been learned, so that the next try is another request.
        """
        while True:
            request, learned = body(), dict(self._learned[model])
            for row in (*self._table, *self._last):
                if row in learned:
                    row.change(request, learned[row])
            try:
                return await send(request)
            except ModelError as error:
                new = self._recognised(request, learned, error)
                if new is None and error.kind is not ModelErrorKind.BAD_REQUEST:
                    raise
                if new is None:
                    async with self._trial:  # calls that are refused together wait for the first one's trial
                        if self._learned[model].keys() <= learned.keys():
                            return await self._plainly(model, request, send, error)
                elif new not in self._learned[model]:  # else another call has learned it meanwhile
                    self._learned[model][new] = error.said
                    error.message = f"from now on {new.does}, because the server said: {error.message}"
                    error.kind, error.retry_after, error.learned = ModelErrorKind.RETRYABLE, 0.0, True
                    raise

    async def _plainly(
        self, model: str, body: Json, send: Callable[[Json], Awaitable[Turn]], error: ModelError
    ) -> Turn:
        """The answer to a request in the plainest form. Raises `error`, which no row recognises, if that is refused."""
        tried: dict[Row, str] = {}
        for row in self._last if model not in self._unrecognised else ():
            sent = msgspec.json.encode(body)
            row.change(body, error.said)
            tried[row] = error.said
            if msgspec.json.encode(body) == sent:
                continue
            with suppress(ModelError):
                turn = await send(body)
                self._learned[model].update(tried)
                log.warning("%s: from now on %s, because the server said: %s", model, row.does, error.message)
                return turn
        if tried:
            self._unrecognised.add(model)
        raise error

    def _recognised(self, body: Json, learned: Container[Row], error: ModelError) -> Row | None:
        """The first row that a refusal of `body` is about and that would change it."""
        if error.kind is ModelErrorKind.REFUSED or error.status in _NEVER or not error.said:
            return None
        sent = msgspec.json.encode(body)
        for row in self._table:
            if row in learned or not row.said.search(error.said):
                continue
            if error.kind is ModelErrorKind.CONTEXT_LENGTH and row.change not in (change.lower_limit, change.short_ids):
                continue
            row.change(body, error.said)
            if msgspec.json.encode(body) != sent:
                return row
        return None

"""Servers that refuse what others take: each row of the table has one here, with the words of a real one."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.domain.conversation import Block, Message, Opaque, Request, Text, ToolAnswer, ToolCall, ToolSpec, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import CallId
from engine.models.adapters.dialects import CHAT
from engine.ports.protocols import Provider
from tests.engine.models.dialects import (
    FIRST,
    SHELL,
    AnthropicDialect,
    ChatDialect,
    Dialect,
    ResponsesDialect,
    unnamed,
)
from tests.engine.models.raw_server import Seen, Step, refusal, serving, stream

DIALECT = ChatDialect()
LISTING = ToolSpec(
    "list_files",
    "List files.",
    {
        "type": "object",
        "properties": {
            "path": {"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}], "default": "."},
            "depth": {"type": ["integer", "null"], "minimum": 1},
            "order": {"enum": ["name", "size"]},
        },
        "required": [],
        "additionalProperties": False,
    },
)
WAIT = ToolSpec("wait", "Wait.", {"type": "object", "properties": {}, "required": [], "additionalProperties": False})
ONE, TWO = CallId("c01kb2m4n6p8q0r"), CallId("c01kb2m4n6p8q0s")
TOLD = Message("user", (ToolAnswer(ONE, ""), ToolAnswer(TWO, "b.txt"), Text("# Reminder")))


def called(*before: Block) -> Message:
    return Message("assistant", (*before, ToolCall(ONE, "shell", '{"command": "ls"}'), ToolCall(TWO, "wait", "{}")))


LATER = msgspec.structs.replace(
    FIRST, messages=(*FIRST.messages, called(), TOLD), tools=(SHELL, LISTING, WAIT), max_output=16_000
)
"""The second request of an agent: two calls without text, one empty answer, and a reminder after the answers."""


def keeping(message: dict[str, Any], *calls: dict[str, Any], model: str = "a-model") -> Request:
    kept = Opaque("openai-chat", msgspec.Raw(json.dumps({"message": message, "calls": calls}).encode()), model)
    return msgspec.structs.replace(LATER, messages=(*FIRST.messages, called(kept), TOLD))


Body = dict[str, Any]


def roles(body: Body) -> list[str]:
    return [message["role"] for message in body["messages"]]


def assistant(body: Body) -> dict[str, Any]:
    return next(message for message in body["messages"] if message["role"] == "assistant")


def ids(body: Body) -> list[str]:
    calls = [call["id"] for message in body["messages"] for call in message.get("tool_calls") or ()]
    return calls + [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"]


def text_after(before: str, name: str, kind: str = "invalid_request_error") -> Body:
    return {"error": {"message": before, "type": kind, "param": name, "code": None}}


def schemas(body: Body) -> str:
    return json.dumps([tool["function"].get("parameters") for tool in body["tools"]])


Refuses = Callable[[Body], bool]
# what the server does not take, its status, its error body, and the request
SERVERS: dict[str, tuple[Refuses, int, object, Request]] = {
    "stream_options": (
        lambda body: "stream_options" in body,
        422,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
            ]
        },
        LATER,
    ),
    "the-limit-of-deepseek": (
        lambda body: body["max_tokens"] > 8192,
        400,
        text_after("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", "max_tokens"),
        LATER,
    ),
    "the-limit-of-groq": (
        lambda body: body["max_tokens"] > 8192,
        400,
        text_after(
            "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
            "`context_window` for this model",
            "max_tokens",
        ),
        LATER,
    ),
    "the-limit-of-qwen": (
        lambda body: max(body.get("max_tokens", 0), body.get("max_completion_tokens", 0)) > 8192,
        400,
        text_after("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]", ""),
        LATER,
    ),
    "the-limit-of-cohere": (
        lambda body: max(body.get("max_tokens", 0), body.get("max_completion_tokens", 0)) > 4000,
        400,
        text_after("too many tokens: max tokens must be less than or equal to 4000, received 16000.", ""),
        LATER,
    ),
    "the-limit-of-a-proxy": (
        lambda body: max(body.get("max_tokens", 0), body.get("max_completion_tokens", 0)) > 8192,
        400,
        text_after("max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens", ""),
        LATER,
    ),
    "the-limit-of-openai": (
        lambda body: body["max_tokens"] > 4096,
        400,
        text_after(
            "max_tokens is too large: 16000. This model supports at most 4096 completion tokens, whereas you provided "
            "16000.",
            "max_tokens",
        ),
        LATER,
    ),
    "the-limits-other-name": (
        lambda body: "max_tokens" in body,
        400,
        text_after(
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            "max_tokens",
        ),
        LATER,
    ),
    "no-system-role": (
        lambda body: "system" in roles(body),
        500,
        text_after("Jinja Exception: System role not supported", "", "server_error"),
        LATER,
    ),
    "no-system-role-of-o1": (
        lambda body: "system" in roles(body),
        400,
        text_after(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.", "messages[0].role"
        ),
        LATER,
    ),
    "no-system-role-of-minimax": (
        lambda body: "system" in roles(body),
        400,
        text_after("invalid params, chat content has invalid message role: system (2013)", ""),
        LATER,
    ),
    "user-after-tool": (
        lambda body: "tool user" in " ".join(roles(body)),
        400,
        {
            "object": "error",
            "message": "Unexpected role 'user' after role 'tool'",
            "type": "invalid_request_message_order",
            "param": None,
            "code": "3230",
        },
        LATER,
    ),
    "user-after-tool-through-openrouter": (
        lambda body: "tool user" in " ".join(roles(body)),
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": '{"object":"error","message":"Unexpected role \'user\' after role \'tool\'"}',
                    "provider_name": "Mistral",
                },
            }
        },
        LATER,
    ),
    "strict-alternation": (
        lambda body: (
            "user user"
            in " ".join(m["role"] for m in body["messages"] if m["role"] != "tool" and not m.get("tool_calls"))
        ),
        500,
        text_after(
            "\n------------\nWhile executing CallExpression at line 46, column 32 in source:\nError: Jinja Exception: "
            "After the optional system message, conversation roles must alternate user and assistant roles except for "
            "tool calls and results.",
            "",
            "server_error",
        ),
        LATER,
    ),
    "one-call-at-a-time": (
        lambda body: any(len(message.get("tool_calls") or ()) > 1 for message in body["messages"]),
        500,
        text_after("Jinja Exception: This model only supports single tool-calls at once!", "", "server_error"),
        LATER,
    ),
    "ids-of-mistral": (
        lambda body: not all(re.fullmatch("[A-Za-z0-9]{9}", id) for id in ids(body)),
        400,
        {
            "object": "error",
            "message": "Tool call id was c01kb2m4n6p8q0r but must be a-z, A-Z, 0-9, with a length of 9.",
            "type": "invalid_function_call",
            "code": "3280",
        },
        LATER,
    ),
    "long-ids": (
        lambda body: any(len(id) > 12 for id in ids(body)),
        400,
        {
            "error": {
                "message": "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with maximum "
                "length 12, but got a string with length 15 instead.",
                "type": "invalid_request_error",
                "param": "messages[2].tool_calls[0].id",
                "code": "string_above_max_length",
            }
        },
        LATER,
    ),
    "names-of-answers": (
        lambda body: not all(message.get("name") for message in body["messages"] if message["role"] == "tool"),
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "* GenerateContentRequest.contents[2].parts[0].function_response.name: Name cannot be "
                    "empty.\n",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        LATER,
    ),
    "names-of-answers-at-mistral": (
        lambda body: not all(message.get("name") for message in body["messages"] if message["role"] == "tool"),
        400,
        {"object": "error", "message": "Tool message must have a name", "type": "invalid_request_error"},
        LATER,
    ),
    "in-an-answer-with-status-200": (
        lambda body: "tool user" in " ".join(roles(body)),
        200,
        text_after("rpc error: code = InvalidArgument desc = conversation roles must alternate", "", "server_error"),
        LATER,
    ),
    "arguments-as-objects": (
        lambda body: not all(isinstance(c["function"]["arguments"], dict) for c in assistant(body)["tool_calls"]),
        500,
        text_after("TypeError: Can only get item pairs from a mapping.", "", "InternalServerError"),
        LATER,
    ),
    "fields-that-groq-added": (
        lambda body: "reasoning" in assistant(body),
        400,
        text_after(
            "'messages.2' : for 'role:assistant' the following must be satisfied[('messages.2' : property 'reasoning' "
            "is unsupported)]",
            "",
        ),
        keeping({"reasoning": "I list."}),
    ),
    "fields-that-cerebras-added": (
        lambda body: "reasoning_content" in assistant(body),
        400,
        {
            "message": "messages.2.assistant.reasoning_content: property 'messages.2.assistant.reasoning_content' is "
            "unsupported",
            "type": "invalid_request_error",
            "param": "validation_error",
            "code": "wrong_api_format",
        },
        keeping({"reasoning_content": "I list."}),
    ),
    "fields-refused-one-by-one": (
        lambda body: bool({"reasoning", "provider_notes"} & assistant(body).keys()),
        400,
        text_after("Unknown parameter in messages: 'provider_notes'", ""),
        keeping({"reasoning": "I list.", "provider_notes": ["x"]}),
    ),
    "reasoning-that-deepseek-misses": (
        lambda body: not assistant(body).get("reasoning_content"),
        400,
        text_after("The `reasoning_content` in the thinking mode must be passed back to the API.", ""),
        LATER,
    ),
    "reasoning-that-kimi-misses": (
        lambda body: not assistant(body).get("reasoning_content"),
        400,
        text_after(
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2", ""
        ),
        LATER,
    ),
    "a-signature-that-gemini-misses": (
        lambda body: "thought_signature" not in json.dumps(assistant(body)["tool_calls"][0]),
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "Function call is missing a thought_signature in functionCall parts. This is required "
                    "for tools to work correctly, and missing thought_signature may lead to degraded model "
                    "performance. Additional data, function call `default_api:shell` , position 2.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        LATER,
    ),
    "null-refused-by-ollama": (
        lambda body: any(message["content"] is None for message in body["messages"]),
        400,
        text_after("invalid message content type: <nil>", ""),
        LATER,
    ),
    "null-refused-by-lm-studio": (
        lambda body: any(message["content"] is None for message in body["messages"]),
        400,
        {"error": "Invalid 'content': 'content' field must be a string or an array of objects."},
        LATER,
    ),
    "empty-text-refused": (
        lambda body: not all(message["content"] for message in body["messages"]),
        400,
        text_after("messages: text content blocks must be non-empty", ""),
        LATER,
    ),
    "empty-text-refused-by-kimi": (
        lambda body: any(message["content"] == "" for message in body["messages"]),
        400,
        text_after("Invalid request: the message at position 3 with role 'tool' must not be empty", ""),
        LATER,
    ),
    "empty-schema": (
        lambda body: '"properties": {}' in schemas(body),
        400,
        [{"error": {"code": 400, "message": "parameters.properties: should be non-empty for OBJECT type"}}],
        LATER,
    ),
    "schemas-of-gemini": (
        lambda body: any(word in schemas(body) for word in ("additionalProperties", "anyOf", "default", "format")),
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": 'Invalid JSON payload received. Unknown name "additionalProperties" at '
                    "'tools[0].function_declarations[1].parameters': Cannot find field.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        LATER,
    ),
    "schema-types-in-a-list": (
        lambda body: '["integer", "null"]' in schemas(body),
        400,
        text_after("Invalid schema for function 'list_files': 'type' must be a string", ""),
        LATER,
    ),
}


async def ask(provider: Provider, request: Request) -> tuple[Turn, list[str]]:
    """A call as the engine makes it, and what it was told on the way."""
    told: list[str] = []
    for _ in range(len(CHAT) + 1):
        try:
            return await provider.ask(request, lambda text: None), told
        except ModelError as error:
            if not error.learned or (error.kind, error.retry_after) != (ModelErrorKind.RETRYABLE, 0.0):
                raise
            told.append(error.message)
    raise AssertionError("without end")


@pytest.mark.parametrize(("refuses", "status", "says", "request_"), SERVERS.values(), ids=SERVERS.keys())
async def test_a_request_that_is_refused_is_sent_in_the_servers_dialect(
    refuses: Refuses, status: int, says: object, request_: Request
) -> None:
    def script(seen: Seen) -> list[Step]:
        return refusal(status, says) if refuses(seen.body) else stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        turn, told = await ask(provider, request_)
        assert turn.message.text == "ok"
        assert told
        assert all(message.startswith("from now on ") for message in told)
        refused = len(server.seen) - 1
        assert refused <= 2
        await provider.ask(request_, lambda text: None)
        assert len(server.seen) == refused + 2, "later requests are sent in it at once"
        await provider.close()
    for seen in server.seen:
        unanswered = {call["id"] for m in seen.body["messages"] for call in m.get("tool_calls") or ()}
        assert unanswered == {m["tool_call_id"] for m in seen.body["messages"] if m["role"] == "tool"}
        assert "# Reminder" in json.dumps(seen.body["messages"][-1])


async def test_every_row_has_a_server() -> None:
    learned: list[str] = []
    for refuses, status, says, request in SERVERS.values():

        def script(seen: Seen, refuses: Refuses = refuses, status: int = status, says: object = says) -> list[Step]:
            return refusal(status, says) if refuses(seen.body) else stream(DIALECT.answer("ok"))

        async with serving(script) as server:
            provider = DIALECT.open(server.url)
            learned += (await ask(provider, request))[1]
            await provider.close()
    missing = [
        row.does for row in CHAT if not any(message.startswith(f"from now on {row.does},") for message in learned)
    ]
    assert not missing


async def test_a_server_that_refuses_everything_in_every_row_is_asked_once_per_row_at_most() -> None:
    texts = [json.dumps(says) for _, _, says, _ in SERVERS.values()]
    async with serving(lambda _: refusal(400, text_after(" ".join(texts)[:15_000], ""))) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await ask(provider, keeping({"reasoning_content": "I list."}, {"extra_content": {"a": 1}}))
        asked = len(server.seen)
        with pytest.raises(ModelError):
            await provider.ask(LATER, lambda text: None)
        await provider.close()
    assert caught.value.kind is not ModelErrorKind.RETRYABLE
    assert asked <= len(CHAT) + 1
    assert len(server.seen) == asked + 1, "nothing is tried twice"


async def test_what_one_model_refuses_is_still_sent_to_others() -> None:
    def script(seen: Seen) -> list[Step]:
        if seen.body["model"] == "a-model" and "stream_options" in seen.body:
            return refusal(400, text_after("Unknown field: stream_options", ""))
        return stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        await ask(provider, FIRST)
        await ask(provider, msgspec.structs.replace(FIRST, model="another"))
        await provider.close()
    assert "stream_options" not in server.seen[-2].body
    assert "stream_options" in server.seen[-1].body


async def test_parallel_calls_that_are_refused_alike_learn_once() -> None:
    def script(seen: Seen) -> list[Step]:
        if "stream_options" in seen.body:
            return refusal(400, text_after("Unknown field: stream_options", ""))
        return stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        ended = await asyncio.gather(
            *(provider.ask(FIRST, lambda text: None) for _ in range(8)), return_exceptions=True
        )
        await provider.close()
    told = [error for error in ended if isinstance(error, ModelError)]
    assert len(told) == 1
    assert told[0].learned


@pytest.mark.parametrize(
    ("dialect", "name", "says"),
    [
        (ChatDialect(), "max_tokens", "max_tokens is too large: 16000. This model supports at most 8192 tokens"),
        (ResponsesDialect(), "max_output_tokens", "max_output_tokens: 16000 > 8192, the maximum of this model"),
        (
            AnthropicDialect(),
            "max_tokens",
            "max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens",
        ),
        (AnthropicDialect(), "cache_control", "system.0.cache_control: Extra inputs are not permitted"),
        (AnthropicDialect(), "signature", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        (AnthropicDialect(), "thinking", "messages.1.content.0.thinking.signature: Field required"),
        (ResponsesDialect(), "store", "Unsupported parameter: store"),
        (ResponsesDialect(), "prompt_cache_key", "Unknown parameter: 'prompt_cache_key'."),
        (ResponsesDialect(), "include", "body -> include: Extra inputs are not permitted"),
        (ResponsesDialect(), "max_output_tokens", "Unsupported parameter: max_output_tokens"),
        (ResponsesDialect(), "encrypted_content", "The encrypted content for item rs_1 could not be verified."),
    ],
)
async def test_every_protocol_learns(dialect: Dialect, name: str, says: str) -> None:
    def script(seen: Seen) -> list[Step]:
        limited = "8192" in says and name in seen.body
        odd = seen.body[name] > 8192 if limited else f'"{name}"' in json.dumps(seen.body)
        return refusal(400, dialect.error_body("invalid_request_error", says)) if odd else stream(dialect.answer("ok"))

    async with serving(script) as server:
        provider = dialect.open(server.url)
        thought: dict[str, Any] = {"type": "thinking", "thinking": "Hm.", "signature": "of another server"}
        if dialect.name == "openai":
            thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
        kept = Opaque(dialect.name, msgspec.Raw(json.dumps(thought).encode()), "a-model")
        before = (*FIRST.messages, called(kept), TOLD)
        turn, told = await ask(provider, msgspec.structs.replace(FIRST, messages=before, max_output=16_000))
        await provider.close()
    assert (turn.message.text, len(told), len(server.seen)) == ("ok", 1, 2)


# --- fields that have to go back -----------------------------------------------------------------------------


def piece(**delta: Any) -> bytes:
    return unnamed({"choices": [{"index": 0, "delta": delta}]})


CALL = {"index": 0, "id": "call_abcdef", "type": "function", "function": {"name": "shell", "arguments": ""}}
ARGUMENTS = piece(tool_calls=[{"index": 0, "function": {"arguments": '{"command": "ls"}'}}])


async def second_request(events: list[bytes], model: str = "a-model", provider_name: str = "openai-chat") -> Body:
    """The body of the request that follows an answer, after a trip through the journal's encoding."""
    async with serving(lambda _: stream(events)) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, lambda text: None)
        message = msgspec.json.decode(msgspec.json.encode(turn.message), type=Message)
        answers = Message("user", tuple(ToolAnswer(call.id, "done") for call in message.calls))
        later = msgspec.structs.replace(FIRST, model=model, messages=(*FIRST.messages, message, answers))
        await provider.ask(later, lambda text: None)
        await provider.close()
    assert len(server.seen) == 2
    return server.seen[1].body


async def test_deepseeks_reasoning_goes_back_with_its_tool_calls() -> None:
    events = [piece(reasoning_content="I "), piece(reasoning_content="list."), piece(tool_calls=[CALL]), ARGUMENTS]
    body = await second_request([*events, *DIALECT.end("tool_calls")])
    assert assistant(body)["reasoning_content"] == "I list."


async def test_a_signature_goes_back_on_its_own_tool_call() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
    plain = CALL | {"index": 1, "id": "call_second", "function": {"name": "shell", "arguments": '{"command": "b"}'}}
    events = [piece(tool_calls=[CALL | signed]), ARGUMENTS, piece(tool_calls=[plain])]
    first, second = assistant(await second_request([*events, *DIALECT.end("tool_calls")]))["tool_calls"]
    assert first["extra_content"] == signed["extra_content"]
    assert first["function"] == {"name": "shell", "arguments": '{"command": "ls"}'}
    assert "extra_content" not in second


async def test_details_of_reasoning_are_put_together_from_their_pieces() -> None:
    def detail(**fields: Any) -> bytes:
        return piece(reasoning_details=[{"type": "reasoning.text", "format": "a-v1", "index": 0} | fields])

    events = [
        detail(text="I "),
        detail(text="list."),
        detail(signature="s" * 40),
        piece(reasoning_details=[{"type": "reasoning.encrypted", "data": "x", "index": 1}]),
        piece(tool_calls=[CALL]),
        ARGUMENTS,
    ]
    assert assistant(await second_request([*events, *DIALECT.end("tool_calls")]))["reasoning_details"] == [
        {"type": "reasoning.text", "format": "a-v1", "index": 0, "text": "I list.", "signature": "s" * 40},
        {"type": "reasoning.encrypted", "data": "x", "index": 1},
    ]


async def test_fields_of_unknown_names_go_back_and_a_repeated_one_comes_once() -> None:
    events = [
        piece(reasoning="Hm", novelty={"level": 3, "sign": "z" * 50}),
        piece(novelty={"level": 3, "sign": "z" * 50}, nothing=None, empty=""),
        piece(tool_calls=[CALL]),
        ARGUMENTS,
    ]
    message = assistant(await second_request([*events, *DIALECT.end("tool_calls")]))
    assert message["reasoning"] == "Hm"
    assert message["novelty"] == {"level": 3, "sign": "z" * 50}
    assert not {"nothing", "empty"} & message.keys()


async def test_another_model_gets_no_field_of_the_first() -> None:
    events = [piece(reasoning_content="I list."), piece(tool_calls=[CALL]), ARGUMENTS, *DIALECT.end("tool_calls")]
    assert set(assistant(await second_request(events, model="another"))) == {"role", "content", "tool_calls"}


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "system", "tool_calls": 5, "tool_call_id": "x", "name": "me"},
        {"x": "y" * 300_000},
        {f"field{n}": "v" for n in range(500)},
        {"deep": json.loads('{"a":' * 400 + "1" + "}" * 400)},
    ],
    ids=["known", "huge", "many", "deep"],
)
async def test_what_a_hostile_server_adds_is_bounded(odd: dict[str, Any]) -> None:
    events = [piece(**odd), piece(**odd), piece(content="hm"), piece(tool_calls=[CALL]), ARGUMENTS]
    events = [*events, *DIALECT.end("tool_calls")]
    message = assistant(await second_request(events))
    assert message["role"] == "assistant"
    assert len(message["tool_calls"]) == 1
    assert len(json.dumps(message)) < 300_000
    assert len(message) < 40


async def test_an_id_that_a_model_counts_on_goes_back_with_the_call_and_its_answer() -> None:
    frames = [
        piece(tool_calls=[CALL | {"id": "functions.shell:0"}]),
        ARGUMENTS,
        piece(tool_calls=[CALL | {"index": 1, "id": "functions.shell:1"}]),
        piece(tool_calls=[{"index": 1, "function": {"arguments": "{}"}}]),
    ]
    body = await second_request([*frames, *DIALECT.end("tool_calls")])
    assert ids(body) == ["functions.shell:0", "functions.shell:1"] * 2
    other = await second_request([*frames, *DIALECT.end("tool_calls")], model="another")
    assert not any(":" in id for id in ids(other))


# --- refusals in words that nobody knows ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        (lambda body: "tool user" in " ".join(roles(body)), "Nope: order"),
        (lambda body: any(message["content"] is None for message in body["messages"]), "Request is bad"),
        (lambda body: "additionalProperties" in schemas(body), "Request contains an invalid argument."),
        (lambda body: "mystery" in assistant(body), ""),
    ],
)
async def test_the_plainest_form_is_tried_when_no_row_recognises_a_refusal(refuses: Refuses, says: str) -> None:
    def script(seen: Seen) -> list[Step]:
        return refusal(400, text_after(says, "")) if refuses(seen.body) else stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        request = keeping({"mystery": "x"})
        assert (await provider.ask(request, lambda text: None)).message.text == "ok"
        asked = len(server.seen)
        assert asked <= 3
        await provider.ask(request, lambda text: None)
        await provider.close()
    assert len(server.seen) == asked + 1


async def test_a_template_that_takes_no_conversation_is_not_asked_for_ever() -> None:
    says = text_after("Jinja Exception: Only user and assistant roles are supported!", "", "server_error")
    async with serving(lambda _: refusal(500, says)) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(LATER, lambda text: None)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.BAD_REQUEST
    assert len(server.seen) <= 3


async def test_calls_that_are_refused_together_wait_for_one_trial() -> None:
    def script(seen: Seen) -> list[Step]:
        odd = "additionalProperties" in schemas(seen.body)
        return refusal(400, text_after("Nope", "")) if odd else stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        turns = await asyncio.gather(*(provider.ask(LATER, lambda text: None) for _ in range(8)))
        await provider.close()
    assert {turn.message.text for turn in turns} == {"ok"}
    assert len(server.seen) <= 8 + 8


async def test_the_plainest_form_is_not_kept_if_it_does_not_help() -> None:
    async with serving(lambda _: refusal(400, text_after("Nope", ""))) as server:
        provider = DIALECT.open(server.url)
        for _ in range(3):
            with pytest.raises(ModelError, match="Nope") as caught:
                await provider.ask(LATER, lambda text: None)
            assert caught.value.kind is ModelErrorKind.BAD_REQUEST
        await provider.close()
    assert len(server.seen) == 2 + 1 + 1
    assert server.seen[-1].body == server.seen[0].body


async def test_text_that_cannot_be_encoded_is_an_ordinary_error() -> None:
    raw = (
        b'data: {"choices": [{"index": 0, "delta": {"reasoning_content": "\\ud800", "tool_calls": [{"index": 0, "id": '
    )
    raw += b'"a", "function": {"name": "shell", "arguments": {"command": "\\ud800"}}}]}}]}\n\n'
    async with serving(lambda _: stream([raw, *DIALECT.end("stop")])) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError):
            await provider.ask(FIRST, lambda text: None)
        await provider.close()

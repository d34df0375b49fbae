"""Answers that no protocol describes, but that real servers and proxies send: one suite, three wire protocols."""

import gzip
import json
import zlib
from typing import Any

import pytest
import zstandard

from engine.domain.conversation import Text, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import CallId
from tests.engine.models.dialects import DIALECTS, FIRST, KEY, Dialect
from tests.engine.models.raw_server import END, Chunk, Reset, Send, Stall, Step, Wait, head, serving, stream

CALL = ToolCall(CallId("call_one_11"), "shell", '{"command":"ls"}')
ARGUMENTS = {"command": "ls"}
FUNCTION = {"name": "shell", "arguments": '{"command":"ls"}'}
WHOLE: dict[str, dict[str, Any]] = {
    "anthropic": {
        "type": "message",
        "id": "msg_1",
        "content": [
            {"type": "text", "text": "Hello."},
            {"type": "tool_use", "id": "call_one_11", "name": "shell", "input": ARGUMENTS},
            {"type": "tool_use", "id": "call_two_22", "name": "shell", "input": ARGUMENTS},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 120, "output_tokens": 7},
    },
    "openai": {
        "object": "response",
        "id": "resp_1",
        "status": "completed",
        "error": None,
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "Hello."}]},
            {"type": "function_call", "call_id": "call_one_11", **FUNCTION},
            {"type": "function_call", "call_id": "call_two_22", **FUNCTION},
        ],
        "usage": {"input_tokens": 120, "output_tokens": 7},
    },
    "openai-chat": {
        "object": "chat.completion",
        "id": "chatcmpl-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello.",
                    "tool_calls": [
                        {"id": "call_one_11", "type": "function", "function": FUNCTION},
                        {"id": "call_two_22", "type": "function", "function": FUNCTION},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 7},
    },
}
"""An answer that is not streamed, although a stream was asked for."""


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found = request.param
    assert isinstance(found, Dialect)
    return found


async def ask(dialect: Dialect, steps: list[Step], **settings: Any) -> Turn:
    async with serving(lambda _: steps) as server:
        provider = dialect.open(server.url, **settings)
        try:
            return await provider.ask(FIRST, lambda text: None)
        finally:
            await provider.close()


async def failure(dialect: Dialect, steps: list[Step], **settings: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await ask(dialect, steps, **settings)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600
    return caught.value


NOISE = (
    b"data:\n\n",
    b"data: : keepalive\n\n",
    b"event: ping\ndata: still here\n\n",
    b"event: ping\ntext\n\n",
    b"data: PROCESSING\n\n",
    b": OPENROUTER PROCESSING\n\nid: 3\nretry: 5\n\n",
    b'data: {"type": "keepalive"}\n\n',
)


@pytest.mark.parametrize("noise", NOISE, ids=lambda noise: repr(noise)[2:-1])
async def test_a_frame_that_carries_nothing_does_not_end_the_answer(dialect: Dialect, noise: bytes) -> None:
    events = dialect.answer("Hel", "lo")
    turn = await ask(dialect, stream([noise, *(part for event in events for part in (event, noise))]))
    assert turn == await ask(dialect, stream(events))


def _gzip_members(text: bytes) -> bytes:
    return gzip.compress(text[:50]) + gzip.compress(b"") + gzip.compress(text[50:])


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("gzip", _gzip_members),
        ("deflate", zlib.compress),
        ("deflate", lambda text: zlib.compress(text, wbits=-15)),
        ("zstd", zstandard.compress),
        ("IDENTITY", bytes),
    ],
    ids=["gzip", "gzip-members", "deflate", "raw-deflate", "zstd", "identity"],
)
async def test_a_compressed_answer_is_read(dialect: Dialect, encoding: str, compress: Any) -> None:
    body = compress(b"".join(dialect.answer("Hel", "lo")))
    chunks = [Chunk(body[at : at + 7]) for at in range(0, len(body), 7)]
    turn = await ask(dialect, [head(content_encoding=encoding), *chunks, END])
    assert turn.message.text == "Hello"


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_few_bytes_that_expand_to_a_gigabyte_are_cut_off(
    dialect: Dialect, encoding: str, compress: Any, status: int
) -> None:
    bomb = compress(b"data: x\n" * 2**21)
    error = await failure(dialect, [head(status, content_encoding=encoding), Chunk(bomb), END])
    assert "longer than" in error.message


@pytest.mark.parametrize(("encoding", "body"), [("br", b"\x0b\x02\x80abc\x03"), ("gzip", b"\x1f\x8bnonsense")])
async def test_an_answer_that_cannot_be_decompressed_says_so(dialect: Dialect, encoding: str, body: bytes) -> None:
    error = await failure(dialect, [head(content_encoding=encoding), Chunk(body), END])
    assert f"compressed its answer ({encoding})" in error.message or f"{encoding} cannot be" in error.message


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_that_is_not_streamed_is_read(dialect: Dialect, indent: int | None, kind: str) -> None:
    body = json.dumps(WHOLE[dialect.name], indent=indent).encode()
    turn = await ask(dialect, [head(kind=kind), *(Chunk(body[at : at + 50]) for at in range(0, len(body), 50)), END])
    assert turn.message.blocks == (Text("Hello."), CALL, ToolCall(CallId("call_two_22"), "shell", CALL.arguments))
    assert (turn.usage.input, turn.usage.output) == (120, 7)


async def test_an_answer_as_lines_of_json_is_read(dialect: Dialect) -> None:
    lines = b"".join(dialect.answer("Hel", "lo")).split(b"\n")
    bare = [line.removeprefix(b"data: ") + b"\n" for line in lines if line.startswith(b"data: ")]
    assert (await ask(dialect, [head(kind="application/x-ndjson"), *map(Chunk, bare), END])).message.text == "Hello"


async def test_an_answer_in_ollamas_own_protocol_is_read() -> None:
    [chat] = [dialect for dialect in DIALECTS if dialect.name == "openai-chat"]
    call = {"function": {"name": "shell", "arguments": ARGUMENTS}}
    lines: list[dict[str, Any]] = [
        {"message": {"role": "assistant", "content": "Hel"}, "done": False},
        {"message": {"role": "assistant", "content": "lo.", "tool_calls": [call]}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 120, "eval_count": 7},
    ]
    body = [Chunk(json.dumps(line).encode() + b"\n") for line in lines]
    turn = await ask(chat, [head(kind="application/x-ndjson"), *body, END])
    assert turn.message.text == "Hello."
    assert [(call.tool, json.loads(call.arguments)) for call in turn.message.calls] == [("shell", ARGUMENTS)]
    assert (turn.usage.input, turn.usage.output) == (120, 7)


async def test_an_answer_without_its_last_empty_line_is_complete(dialect: Dialect) -> None:
    events = dialect.answer("Hel", "lo")
    assert (await ask(dialect, stream([b"".join(events).rstrip()]))).message.text == "Hello"


async def test_done_may_stand_in_place_of_the_terminal_event(dialect: Dialect) -> None:
    done = b"data: [DONE]\n\n"
    whole = dialect.answer("Hel", "lo")[: -2 if dialect.name == "openai-chat" else -1]
    assert (await ask(dialect, stream([*whole, done]))).message.text == "Hello"
    if dialect.name != "openai-chat":
        assert (await failure(dialect, stream([*whole[:3], done]))).kind is ModelErrorKind.RETRYABLE


@pytest.mark.parametrize("last", [END, Reset()], ids=["ended", "dropped"])
@pytest.mark.parametrize("late", [b'data: {"error": "late"}\n\n', b"data: {half", b"<html>"])
async def test_what_follows_a_complete_answer_does_not_spoil_it(dialect: Dialect, late: bytes, last: Step) -> None:
    events = dialect.answer("Hel", "lo")
    assert (await ask(dialect, stream([b"".join(events) + late], last))).message.text == "Hello"


async def test_half_an_event_at_the_end_is_quoted(dialect: Dialect) -> None:
    events = dialect.answer("Hel", "lo")
    error = await failure(
        dialect, stream([*events[:2], events[2].partition(b": ")[0] + b'\ndata: {"half": "sk-12345678'])
    )
    assert error.kind is ModelErrorKind.RETRYABLE
    assert 'it ended inside an event: {"half": "[masked: key]' in error.message


async def test_an_answer_without_a_stop_reason_quotes_its_last_event(dialect: Dialect) -> None:
    error = await failure(
        dialect, stream([*dialect.answer("Hel")[:1], b'data: {"unknown": "' + KEY.encode() + b'"}\n\n'])
    )
    assert error.message.startswith('the answer was cut short: it ended without a stop reason, after {"unknown":"[mask')


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        (
            "text/html",
            b"<!DOCTYPE html><style>p {}</style><title>Sign in</title> to <b>Hotel</b>\n WiFi",
            "the server sent a web page, maybe of a login or a wrong base_url: Sign in to Hotel WiFi",
        ),
        ("", b"<html><h1>502 Bad Gateway", "a web page, maybe of a login or a wrong base_url: 502 Bad Gateway"),
        ("text/plain", b"no healthy upstream", "the server sent no events but text/plain: no healthy upstream"),
        ("application/json", b"[]", "the server sent no events but application/json: []"),
        ("text/event-stream", b": alive\n\n" * 3, "the server sent no events but text/event-stream: : alive"),
        ("text/event-stream", b"", "the server sent an empty answer (text/event-stream)"),
    ],
    ids=["login", "gateway", "text", "json", "comments", "nothing"],
)
async def test_what_is_no_answer_is_named(dialect: Dialect, kind: str, body: bytes, named: str) -> None:
    error = await failure(dialect, [head(kind=kind), *([Chunk(body)] if body else []), END])
    assert error.kind is ModelErrorKind.RETRYABLE
    assert named in error.message


async def test_an_error_as_a_web_page_is_told_by_its_text(dialect: Dialect) -> None:
    page = b"<!DOCTYPE html>\n<style>p {}</style><title>Blocked</title><p>by <b>policy</b>"
    error = await failure(dialect, [head(403, "text/html"), Chunk(page), END])
    assert (error.kind, error.message) == (ModelErrorKind.REFUSED, "403: Blocked by policy")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"error": {"code": 429, "message": "rate limited upstream"}}, ModelErrorKind.RETRYABLE, 429),
        ({"error": {"type": "rate_limit_error", "message": "slow down"}}, ModelErrorKind.RETRYABLE, 429),
        ({"error": "Rate limit reached for requests"}, ModelErrorKind.RETRYABLE, 429),
        ({"object": "error", "message": "busy", "type": "x", "code": 503}, ModelErrorKind.RETRYABLE, 503),
        ({"error": {"code": "server_error", "message": "oops"}}, ModelErrorKind.RETRYABLE, 500),
        ({"error": {"code": 401, "message": "User not found"}}, ModelErrorKind.REFUSED, 401),
        ({"error": {"code": "invalid_api_key", "message": "no"}}, ModelErrorKind.REFUSED, None),
        ({"error": {"message": "Incorrect API key provided"}}, ModelErrorKind.REFUSED, None),
        ({"type": "error", "error": {"type": "permission_error", "message": "no"}}, ModelErrorKind.REFUSED, 403),
        ({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "bad"}}, ModelErrorKind.BAD_REQUEST, 400),
        (
            {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}},
            ModelErrorKind.CONTEXT_LENGTH,
            None,
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
async def test_an_error_inside_an_answer_keeps_its_meaning(
    dialect: Dialect, body: dict[str, Any], kind: ModelErrorKind, status: int | None
) -> None:
    begun = b"".join(dialect.answer("Hel")[:2])
    error = await failure(dialect, stream([begun + b"data: " + json.dumps(body).encode() + b"\n\n"]))
    assert (error.kind, error.status) == (kind, status)


@pytest.mark.parametrize("form", ["line", "body", "list"])
async def test_an_error_in_place_of_an_answer_keeps_its_meaning(dialect: Dialect, form: str) -> None:
    text = b'{\n"error": {"code": 429, "message": "slow down"}\n}'
    steps = {
        "line": stream([b"".join(dialect.answer("Hel")[:2]) + text.replace(b"\n", b"")]),
        "body": [head(kind="application/json"), Chunk(text), END],
        "list": [head(kind="application/json"), Chunk(b"[" + text + b"]"), END],
    }
    error = await failure(dialect, steps[form])
    assert (error.kind, error.status) == (ModelErrorKind.RETRYABLE, 429)


async def test_a_redirect_says_where_to_without_what_may_be_secret(dialect: Dialect) -> None:
    steps: list[Step] = [head(308, location="https://elsewhere.example/v1?token=abc"), END]
    error = await failure(dialect, steps)
    assert error.kind is ModelErrorKind.REFUSED
    assert "(status 308), set base_url to it if it is right: https://elsewhere.example/v1" in error.message
    assert "abc" not in error.message


@pytest.mark.parametrize("noise", NOISE, ids=lambda noise: repr(noise)[2:-1])
async def test_a_server_that_sends_nothing_but_noise_is_given_up(dialect: Dialect, noise: bytes) -> None:
    drip = [step for _ in range(2_000) for step in (Chunk(noise), Wait(0.02))]
    error = await failure(dialect, [head(), *drip], stall_timeout=0.4)
    assert error.kind is ModelErrorKind.RETRYABLE
    assert error.message in ("the answer stalled: only pings for 2 s", "the server has sent nothing for 0.4 s")


async def test_the_beginning_of_an_answer_may_take_longer_than_its_silences(dialect: Dialect) -> None:
    events = dialect.answer("Hel", "lo")
    patient = {"stall_timeout": 0.2, "first_byte_timeout": 0.6}
    error = await failure(dialect, [Send(b"HTTP/1.1 200 OK\r\nx-slow: "), Stall()], **patient)
    assert error.message == "no answer has begun within 0.6 s"
    error = await failure(dialect, [head(), Stall()], **patient)
    assert error.message == "no answer has begun within 0.6 s", "headers are no answer"
    error = await failure(dialect, stream(events[:2], Stall()), **patient)
    assert error.message == "the server has sent nothing for 0.2 s"

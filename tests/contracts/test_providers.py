"""What every provider over a network must do: one suite, three wire protocols, real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from engine.domain.conversation import Message, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import CallId, Usage
from engine.models.adapters.sse import MAX_BYTES
from engine.models.adapters.wire_format import estimate
from engine.models.registry import PROVIDERS
from engine.ports.protocols import Provider
from tests.engine.models.dialects import DIALECTS, FIRST, KEY, TWO_CALLS, Called, Dialect
from tests.engine.models.raw_server import (
    END,
    Abort,
    Chunk,
    Flood,
    RawServer,
    Reset,
    Seen,
    Send,
    Stall,
    Step,
    head,
    refusal,
    serving,
    stream,
)

RETRYABLE = ModelErrorKind.RETRYABLE


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found = request.param
    assert isinstance(found, Dialect)
    return found


@asynccontextmanager
async def facing(
    dialect: Dialect, script: list[Step] | Callable[[Seen], list[Step]], **settings: Any
) -> AsyncIterator[tuple[Provider, RawServer]]:
    """A provider whose server answers every request by `script`."""
    async with serving(script if callable(script) else lambda _: script) as server:
        provider = dialect.open(server.url, **settings)
        try:
            yield provider, server
        finally:
            await provider.close()


def ignore(_: str) -> None:
    """Text that nobody watches."""


async def ask(dialect: Dialect, script: list[Step], request: Request = FIRST, **settings: Any) -> Turn:
    async with facing(dialect, script, **settings) as (provider, _):
        return await provider.ask(request, ignore)


async def failure(dialect: Dialect, script: list[Step], **settings: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await ask(dialect, script, **settings)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600
    return caught.value


def test_every_provider_over_a_network_is_in_this_suite() -> None:
    assert {dialect.name for dialect in DIALECTS} == set(PROVIDERS) - {"rehearsal"}


async def test_text_arrives_in_pieces_and_the_turn_is_complete(dialect: Dialect) -> None:
    heard: list[str] = []
    async with facing(dialect, stream(dialect.answer("Hel", "lo ☀", "."))) as (provider, server):
        turn = await provider.ask(FIRST, heard.append)
    assert heard == ["Hel", "lo ☀", "."]
    assert turn == Turn(Message("assistant", (Text("Hello ☀."),)), StopReason.END, Usage(120, 100, 7, written=15))
    assert server.seen[0].path == dialect.path
    assert server.seen[0].body["stream"] is True
    assert server.seen[0].body["model"] == "a-model"


async def test_two_calls_keep_their_order_and_their_raw_arguments(dialect: Dialect) -> None:
    turn = await ask(dialect, stream(dialect.answer("I look.", calls=TWO_CALLS)))
    assert turn.stop is StopReason.TOOLS
    assert turn.message.blocks == (
        Text("I look."),
        ToolCall(CallId("call_one_11"), "shell", '{"command": "ls -l"}'),
        ToolCall(CallId("call_two_22"), "shell", '{"command": "grüß \\"gott\\""}'),
    )


async def test_answers_go_back_to_their_calls(dialect: Dialect) -> None:
    async with facing(dialect, stream(dialect.answer(calls=TWO_CALLS))) as (provider, server):
        turn = await provider.ask(FIRST, ignore)
        answers = tuple(ToolAnswer(call.id, f"answer {n}") for n, call in enumerate(turn.message.calls))
        told = Message("user", (*answers, Text("# Reminder")))
        await provider.ask(msgspec.structs.replace(FIRST, messages=(*FIRST.messages, turn.message, told)), ignore)
    body = server.seen[1].body
    assert dialect.answers_in(body) == [("call_one_11", "answer 0"), ("call_two_22", "answer 1")]
    assert dialect.calls_in(body) == [
        ("call_one_11", "shell", {"command": "ls -l"}),
        ("call_two_22", "shell", {"command": 'grüß "gott"'}),
    ]
    assert json.dumps(body).index("answer 1") < json.dumps(body).index("# Reminder")


async def test_a_call_without_arguments_has_an_empty_object(dialect: Dialect) -> None:
    turn = await ask(dialect, stream(dialect.answer(calls=(Called("call_abcdef", "wait", ()),))))
    assert turn.message.calls == (ToolCall(CallId("call_abcdef"), "wait", "{}"),)


async def test_arguments_that_are_not_json_arrive_as_the_model_wrote_them(dialect: Dialect) -> None:
    broken = Called("call_abcdef", "shell", ('{"command": "ls', " -l"))
    async with facing(dialect, stream(dialect.answer(calls=(broken,)))) as (provider, server):
        turn = await provider.ask(FIRST, ignore)
        assert turn.message.calls[0].arguments == '{"command": "ls -l'
        answered = Message("user", (ToolAnswer(CallId("call_abcdef"), "arguments are no JSON", error=True),))
        await provider.ask(msgspec.structs.replace(FIRST, messages=(*FIRST.messages, turn.message, answered)), ignore)
    assert dialect.calls_in(server.seen[1].body)[0][2] == {"invalid_json": '{"command": "ls -l'}


async def test_the_output_limit_is_distinguished_from_a_normal_end(dialect: Dialect) -> None:
    turn = await ask(dialect, stream(dialect.cut_at_limit("half a sent")))
    assert turn.stop is StopReason.LENGTH
    assert turn.message.text == "half a sent"


async def test_cancelling_closes_the_stream(dialect: Dialect) -> None:
    events = dialect.answer("Hel", "lo")
    heard = asyncio.Event()
    async with facing(dialect, stream(events[: len(events) // 2 + 1], Stall())) as (provider, server):
        call = asyncio.create_task(provider.ask(FIRST, lambda _: heard.set()))
        await heard.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.gone.acquire()


async def test_cancelled_calls_leave_room_for_others(dialect: Dialect) -> None:
    """A pool that lost a connection with every cancelled call would be used up here."""
    stalling = True

    def script(_: Seen) -> list[Step]:
        return stream(dialect.answer("a")[:1], Stall()) if stalling else stream(dialect.answer("a"))

    async with facing(dialect, script, max_concurrent=1) as (provider, server):
        for _ in range(30):
            call = asyncio.create_task(provider.ask(FIRST, ignore))
            await server.stalled.acquire()
            call.cancel()
            await asyncio.wait([call])
        stalling = False
        assert (await provider.ask(FIRST, ignore)).message.text == "a"


async def test_one_client_serves_many_calls_at_once(dialect: Dialect) -> None:
    async with facing(dialect, stream(dialect.answer("a")), max_concurrent=20) as (provider, server):
        turns = await asyncio.gather(*(provider.ask(FIRST, ignore) for _ in range(50)))
    assert {turn.message.text for turn in turns} == {"a"}
    assert server.connections <= 28


@pytest.mark.parametrize("last", [Abort(), Reset(), END], ids=["reset", "dropped", "clean-early-end"])
async def test_a_stream_cut_off_anywhere_gives_no_turn(dialect: Dialect, last: Step) -> None:
    """Wherever the cut falls before the terminal event; only the tail after a finish reason may be missing."""
    events = dialect.answer("Hel", "lo", calls=TWO_CALLS)
    terminal = len(events) - (3 if dialect.name == "openai-chat" else 1)
    for length in range(terminal + 1):
        error = await failure(dialect, stream(events[:length], last))
        assert error.kind is RETRYABLE


async def test_a_broken_off_answer_is_charged_for_what_it_used(dialect: Dialect) -> None:
    refused = await failure(dialect, refusal(500, dialect.error_body("api_error", "oops")))
    assert refused.usage == Usage()
    assert (await failure(dialect, stream([]))).usage == Usage(), "nothing was begun"
    events = dialect.answer("x" * 400)
    said = next(place for place, event in enumerate(events) if b"xxx" in event)
    error = await failure(dialect, stream(events[: said + 1], Reset()))
    assert error.usage.output >= 100
    reported = dialect.name == "anthropic"
    assert (error.usage.input, error.usage.cached) == ((120, 100) if reported else (estimate(FIRST), 0))


async def test_a_stream_cut_off_inside_an_event_gives_no_turn(dialect: Dialect) -> None:
    whole = b"".join(dialect.answer("Hello.", calls=TWO_CALLS))
    end = whole.index(b'tool_calls"}') if dialect.name == "openai-chat" else len(whole) - 1
    for length in range(0, end, max(1, end // 40)):
        assert (await failure(dialect, stream([whole[:length]]))).kind is RETRYABLE


async def test_events_may_be_chopped_into_single_bytes(dialect: Dialect) -> None:
    whole = b"".join(dialect.answer("grüß", " gott", calls=TWO_CALLS)).replace(b"\n", b"\r\n")
    turn = await ask(dialect, [head(), *(Chunk(whole[n : n + 1]) for n in range(len(whole))), END])
    assert turn.message.text == "grüß gott"
    assert len(turn.message.calls) == 2


async def test_a_stalled_stream_is_given_up(dialect: Dialect) -> None:
    error = await failure(dialect, stream(dialect.answer("a")[:2], Stall()), stall_timeout=0.2)
    assert error.kind is RETRYABLE


async def test_pings_without_progress_are_given_up(dialect: Dialect) -> None:
    error = await failure(dialect, [head(), Flood(b"event: ping\ndata: {}\n\n: alive\n\n")], stall_timeout=0.1)
    assert error.kind is RETRYABLE


async def test_slow_headers_are_given_up(dialect: Dialect) -> None:
    error = await failure(dialect, [Send(b"HTTP/1.1 200 OK\r\nx-slow: "), Stall()], stall_timeout=0.2)
    assert error.kind is RETRYABLE


async def test_an_unreachable_server_can_be_retried(dialect: Dialect) -> None:
    async with serving(lambda _: []) as server:
        gone = server.url
    provider = dialect.open(gone)
    with pytest.raises(ModelError) as caught:
        await provider.ask(FIRST, ignore)
    assert caught.value.kind is RETRYABLE
    assert caught.value.status is None
    await provider.close()


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "invalid_request_error", "messages: roles must alternate", ModelErrorKind.BAD_REQUEST),
        (400, "context_length_exceeded", "too much", ModelErrorKind.CONTEXT_LENGTH),
        (400, "invalid_request_error", "prompt is too long: 212000 tokens > 200000", ModelErrorKind.CONTEXT_LENGTH),
        (
            400,
            "exceed_context_size_error",
            "the request exceeds the available context size. try increasing the context size",
            ModelErrorKind.CONTEXT_LENGTH,
        ),
        (400, "invalid_request_error", "Your credit balance is too low", ModelErrorKind.REFUSED),
        (401, "authentication_error", "invalid x-api-key", ModelErrorKind.REFUSED),
        (403, "permission_error", "not for you", ModelErrorKind.REFUSED),
        (404, "not_found_error", "model: a-model", ModelErrorKind.REFUSED),
        (408, "timeout", "too slow", RETRYABLE),
        (409, "conflict", "again", RETRYABLE),
        (413, "request_too_large", "Request exceeds the maximum size", ModelErrorKind.CONTEXT_LENGTH),
        (422, "invalid_request_error", "no", ModelErrorKind.BAD_REQUEST),
        (429, "rate_limit_error", "slow down", RETRYABLE),
        (429, "insufficient_quota", "You exceeded your current quota", ModelErrorKind.REFUSED),
        (500, "api_error", "oops", RETRYABLE),
        (503, "overloaded", "busy", RETRYABLE),
        (529, "overloaded_error", "Overloaded", RETRYABLE),
    ],
)
async def test_every_http_status_is_mapped_to_a_kind_of_error(
    dialect: Dialect, status: int, code: str, message: str, kind: ModelErrorKind
) -> None:
    error = await failure(dialect, refusal(status, dialect.error_body(code, message)))
    assert (error.kind, error.status) == (kind, status)
    assert message in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry_after": "7"}, 7.0), ({"retry_after_ms": "1500"}, 1.5), ({"retry_after": "nonsense"}, None)],
    ids=["seconds", "milliseconds", "nonsense"],
)
async def test_the_server_says_when_to_retry(dialect: Dialect, headers: dict[str, str], seconds: float | None) -> None:
    error = await failure(dialect, refusal(429, dialect.error_body("rate_limit_error", "slow down"), **headers))
    assert error.retry_after == seconds


async def test_an_overload_inside_a_stream_can_be_retried(dialect: Dialect) -> None:
    events = [*dialect.answer("Hel")[:2], dialect.broken_off(dialect.overloaded, "Overloaded")]
    error = await failure(dialect, stream(events))
    assert (error.kind, error.status) == (RETRYABLE, 529)


async def test_a_too_long_context_inside_a_stream_is_reported_as_such(dialect: Dialect) -> None:
    events = [dialect.broken_off("context_length_exceeded", "Your input exceeds the context window of this model.")]
    assert (await failure(dialect, stream(events))).kind is ModelErrorKind.CONTEXT_LENGTH


async def test_a_redirect_is_not_followed(dialect: Dialect) -> None:
    async with facing(dialect, stream(dialect.answer("stolen"))) as (_, elsewhere):
        error = await failure(dialect, [head(307, location=f"{elsewhere.url}/v1"), END])
    assert error.kind is ModelErrorKind.REFUSED
    assert not elsewhere.seen


async def test_no_error_or_name_contains_the_key(dialect: Dialect) -> None:
    said = dialect.error_body("authentication_error", f"bad key {KEY}\x1b[31m (Bearer {KEY}) sk-other-{KEY}")
    error = await failure(dialect, refusal(401, said))
    assert KEY not in repr(error) + error.message
    assert "\x1b" not in error.message
    async with facing(dialect, [head(), Chunk(dialect.broken_off("api_error", KEY)), END]) as (provider, _):
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        assert KEY not in str(caught.value)
        assert KEY not in repr(provider)


HOSTILE: dict[str, bytes] = {
    "garbage": b"\x00\xff\xfe garbage\n\n\n",
    "not-json": b"data: {nope\n\n",
    "not-an-object": b"data: [1, 2]\n\n",
    "deep": b"data: " + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"\n\n",
    "null-type": b'data: {"type": null, "choices": 5}\n\n',
    "lone-surrogate": b'data: {"type": "message_start", "choices": "\\ud800"}\n\n',
    "wrong-types": b'data: {"type": "content_block_delta", "index": "x", "delta": 7, "output_index": {}}\n\n',
    "no-block": b'data: {"type": "content_block_stop", "index": 99}\n\n',
    "odd-choices": b'data: {"choices": [null, 3, {"delta": {"tool_calls": [null, {"function": 4}]}}]}\n\n',
    "html": b"<!doctype html><title>Hello</title>",
    "nothing": b"",
}


@pytest.mark.parametrize("junk", HOSTILE.values(), ids=HOSTILE.keys())
async def test_junk_instead_of_a_stream_is_an_ordinary_error(dialect: Dialect, junk: bytes) -> None:
    error = await failure(dialect, [head(kind="text/html"), *([Chunk(junk)] if junk else []), END])
    assert error.kind is RETRYABLE


@pytest.mark.parametrize(
    "endless", [b"x" * 65_536, b"data: " + b"x" * 65_536, b"data: x\n" * 8192], ids=["line", "data-line", "lines"]
)
async def test_an_endless_event_is_cut_off(dialect: Dialect, endless: bytes) -> None:
    error = await failure(dialect, [head(), Flood(endless)])
    assert error.kind is RETRYABLE
    assert str(MAX_BYTES) in error.message


async def test_an_endless_error_body_is_cut_off(dialect: Dialect) -> None:
    error = await failure(dialect, [head(500, "application/json"), Flood(b"x" * 65_536)])
    assert error.kind is RETRYABLE


async def test_a_compressed_answer_is_refused(dialect: Dialect) -> None:
    """A few bytes could become gigabytes; the request asks for none."""
    async with facing(dialect, [head(content_encoding="gzip"), Chunk(b"\x1f\x8b"), END]) as (provider, server):
        with pytest.raises(ModelError):
            await provider.ask(FIRST, ignore)
    assert server.seen[0].headers["accept-encoding"] == "identity"


async def test_repeated_missing_and_invalid_call_ids_become_unique(dialect: Dialect) -> None:
    given = [Called(id, "shell", ("{}",)) for id in ("call_same_1", "call_same_1", "", "x" * 500, "call_0")]
    async with facing(dialect, stream(dialect.answer(calls=tuple(given)))) as (provider, server):
        first = await provider.ask(FIRST, ignore)
        again = await provider.ask(FIRST, ignore)
        ids = [call.id for call in first.message.calls]
        answers = Message("user", tuple(ToolAnswer(id, "ok") for id in ids))
        told = msgspec.structs.replace(FIRST, messages=(*FIRST.messages, first.message, answers))
        later = await provider.ask(told, ignore)
    assert len(set(ids)) == 5
    assert ids[0] == "call_same_1"
    assert all(8 <= len(id) <= 64 for id in ids)
    assert first == again, "the same stream gives the same ids"
    assert not set(ids) & {call.id for call in later.message.calls}, "and a later turn gives others"
    assert [id for id, _ in dialect.answers_in(server.seen[2].body)] == ids


async def test_an_empty_tool_name_gets_a_placeholder_when_sent_back(dialect: Dialect) -> None:
    async with facing(dialect, stream(dialect.answer(calls=(Called("call_abcdef", "", ("{}",)),)))) as (
        provider,
        server,
    ):
        turn = await provider.ask(FIRST, ignore)
        assert turn.message.calls[0].tool == ""
        answer = Message("user", (ToolAnswer(turn.message.calls[0].id, "no such tool", error=True),))
        await provider.ask(msgspec.structs.replace(FIRST, messages=(*FIRST.messages, turn.message, answer)), ignore)
    assert dialect.calls_in(server.seen[1].body)[0][1] == "unknown"


async def test_implausible_token_counts_are_replaced_by_estimates(dialect: Dialect) -> None:
    for nonsense in (b"-5", b'"many"', b"null", b"1e99", b"[]"):
        events = [
            event.replace(b": 120,", b": %s," % nonsense).replace(b": 5,", b": %s," % nonsense)
            .replace(b": 100", b": %s" % nonsense).replace(b": 15,", b": %s," % nonsense)
            .replace(b": 7}", b": %s}" % nonsense).replace(b": 1}", b": %s}" % nonsense)
            for event in dialect.answer("x" * 400)
        ]  # fmt: skip
        turn = await ask(dialect, stream(events))
        assert 10 < turn.usage.input < 200
        assert turn.usage.cached == 0
        assert 90 < turn.usage.output < 150


async def test_text_that_is_not_valid_utf8_is_sent_with_replacements(dialect: Dialect) -> None:
    odd = msgspec.structs.replace(FIRST, messages=(Message("user", (Text("file \udcff name"),)),))
    async with facing(dialect, stream(dialect.answer("ok"))) as (provider, server):
        await provider.ask(odd, ignore)
    assert r"file \xff name" in json.dumps(server.seen[0].body).replace(r"\\", "\\")


async def test_empty_text_is_not_sent_and_adjacent_messages_are_joined(dialect: Dialect) -> None:
    messages = (
        Message("user", (Text("Do it."),)),
        Message("assistant", ()),
        Message("user", (Text("  "), Text("Really."))),
        Message("assistant", (Text(""), ToolCall(CallId("call_abcdef"), "shell", "{}"))),
        Message("user", (Text("late"),)),
        Message("user", (ToolAnswer(CallId("call_abcdef"), ""),)),
    )
    async with facing(dialect, stream(dialect.answer("ok"))) as (provider, server):
        await provider.ask(msgspec.structs.replace(FIRST, messages=messages), ignore)
    body = json.dumps(server.seen[0].body)
    assert '"text": ""' not in body
    assert '"text": "  "' not in body
    assert body.index("call_abcdef") < body.index("late"), "answers stand before text"


async def test_the_same_request_is_the_same_bytes(dialect: Dialect) -> None:
    async with facing(dialect, stream(dialect.answer("ok"))) as (provider, server):
        await provider.ask(FIRST, ignore)
        await provider.ask(FIRST, ignore)
    assert json.dumps(server.seen[0].body) == json.dumps(server.seen[1].body)

"""Specific to the Responses API: no server-side state, encrypted reasoning that is sent back, a cache key."""

from typing import Any

import msgspec
import pytest

from engine.domain.conversation import Message, Opaque, StopReason, Text, ToolAnswer, ToolCall
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import CallId
from tests.engine.models.dialects import FIRST, TWO_CALLS, ResponsesDialect, named
from tests.engine.models.raw_server import Seen, Step, refusal, serving, stream

DIALECT = ResponsesDialect()
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"}
FUNCTION: dict[str, Any] = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_abcdef",
    "name": "shell",
    "arguments": '{"command":"ls"}',
}


def ignore(_: str) -> None:
    """Discard the text."""


async def test_no_state_is_kept_on_the_server() -> None:
    async with serving(lambda _: stream(DIALECT.answer("ok"))) as server:
        provider = DIALECT.open(server.url)
        await provider.ask(FIRST, ignore)
        await provider.close()
    body = server.seen[0].body
    assert body["store"] is False
    assert "previous_response_id" not in body
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["prompt_cache_key"] == "agent-1"
    assert body["instructions"] == FIRST.system


async def test_encrypted_reasoning_is_sent_back_unchanged() -> None:
    items = [REASONING, FUNCTION]
    events = [*DIALECT.item(0, REASONING), *DIALECT.item(1, FUNCTION), DIALECT.end("response.completed", items)]
    async with serving(lambda _: stream(events)) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        answered = Message("user", (ToolAnswer(CallId("call_abcdef"), "files"),))
        told = (*FIRST.messages, turn.message, answered)
        await provider.ask(msgspec.structs.replace(FIRST, messages=told), ignore)
        await provider.close()
    assert [type(block) for block in turn.message.blocks] == [Opaque, ToolCall]
    assert server.seen[1].body["input"][1] == REASONING


async def test_reasoning_cut_off_by_the_output_limit_is_not_sent_back() -> None:
    """Servers reject a reasoning item that nothing follows."""
    ended = DIALECT.end("response.incomplete", [REASONING], incomplete_details={"reason": "max_output_tokens"})
    async with serving(lambda _: stream([*DIALECT.item(0, REASONING), ended])) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        assert turn.stop is StopReason.LENGTH
        nudged = (*FIRST.messages, turn.message, Message("user", (Text("# Nudge"),)))
        await provider.ask(msgspec.structs.replace(FIRST, messages=nudged), ignore)
        await provider.close()
    assert [item["type"] for item in server.seen[1].body["input"]] == ["message"] * (len(FIRST.messages) + 1)


async def test_reasoning_without_encrypted_content_is_left_out() -> None:
    item = REASONING | {"encrypted_content": None}
    events = [*DIALECT.item(0, item), DIALECT.end("response.completed", [item])]
    async with serving(lambda _: stream(events)) as server:
        provider = DIALECT.open(server.url)
        assert (await provider.ask(FIRST, ignore)).message.blocks == ()
        await provider.close()


async def test_items_missing_from_the_terminal_event_are_taken_from_the_stream() -> None:
    events = DIALECT.answer("Hello.", calls=TWO_CALLS)
    events[-1] = DIALECT.end("response.completed", [])
    async with serving(lambda _: stream(events)) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert turn.message.text == "Hello."
    assert len(turn.message.calls) == 2


async def test_an_item_that_did_not_end_makes_the_turn_incomplete() -> None:
    opened = named({"type": "response.output_item.added", "output_index": 0, "item": FUNCTION})
    async with serving(lambda _: stream([opened, DIALECT.end("response.completed", [])])) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.RETRYABLE


async def test_a_refusal_is_distinguished_from_a_normal_end() -> None:
    item = {"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}
    async with serving(lambda _: stream([DIALECT.end("response.completed", [item])])) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert (turn.stop, turn.message.text) == (StopReason.REFUSAL, "I will not.")


async def test_a_model_that_does_not_reason_is_later_asked_without_reasoning() -> None:
    def script(seen: Seen) -> list[Step]:
        if "include" in seen.body:
            message = "Encrypted content is not supported with this model."
            return refusal(400, DIALECT.error_body("invalid_request_error", message))
        return stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        assert (caught.value.kind, caught.value.retry_after) == (ModelErrorKind.RETRYABLE, 0.0)
        assert (await provider.ask(FIRST, ignore)).message.text == "ok"
        await provider.ask(FIRST, ignore)
        await provider.close()
    assert len(server.seen) == 3


@pytest.mark.parametrize("index", [{"output_index": 0}, {}], ids=["one-index-for-all", "no-index"])
async def test_items_are_told_apart_however_they_are_numbered(index: dict[str, int]) -> None:
    events: list[bytes] = []
    for item in (FUNCTION, FUNCTION | {"call_id": "call_ghijkl", "id": "fc_2"}):
        events += [named({"type": f"response.output_item.{when}", "item": item, **index}) for when in ("added", "done")]
    async with serving(lambda _: stream([*events, DIALECT.end("response.completed", [])])) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert [call.id for call in turn.message.calls] == ["call_abcdef", "call_ghijkl"]

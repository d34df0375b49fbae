"""Specific to Anthropic: cache breakpoints, thinking that is sent back unchanged, stop reasons."""

import json
from typing import Any

import msgspec
import pytest

from engine.domain.conversation import Message, Opaque, Request, StopReason, Text, ToolAnswer, ToolCall
from engine.domain.types import CallId
from engine.models.adapters.anthropic import message_body
from tests.engine.models.dialects import FIRST, AnthropicDialect, named
from tests.engine.models.raw_server import serving, stream

DIALECT = AnthropicDialect()
CALL = ToolCall(CallId("call_abcdef"), "shell", '{"command": "ls"}')


def ignore(_: str) -> None:
    """Discard the text."""


def breakpoints(value: Any, path: str = "") -> list[str]:
    """The places of cache breakpoints in a body."""
    found = [path] if isinstance(value, dict) and "cache_control" in value else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [hit for key, inner in items for hit in breakpoints(inner, f"{path}/{key}")]


def without_breakpoints(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_breakpoints(inner) for key, inner in value.items() if key != "cache_control"}
    return [without_breakpoints(inner) for inner in value] if isinstance(value, list) else value


def test_one_cache_breakpoint_stays_and_two_move_along() -> None:
    short = message_body(FIRST, "anthropic", 0)
    answered = Message("user", (ToolAnswer(CALL.id, "files"), Text("# Reminder")))
    longer = msgspec.structs.replace(FIRST, messages=(*FIRST.messages, Message("assistant", (CALL,)), answered))
    long = message_body(longer, "anthropic", 0)
    assert breakpoints(short) == ["/messages/0/content/0", "/system/0"]
    assert breakpoints(long) == ["/messages/0/content/0", "/messages/2/content/1", "/system/0"]
    assert without_breakpoints(long["messages"])[:1] == without_breakpoints(short["messages"])
    assert (long["system"], long["tools"]) == (short["system"], short["tools"])


def test_after_a_turn_with_many_calls_one_breakpoint_is_at_the_end_of_the_previous_request() -> None:
    """The server searches its cache at most 20 blocks before a breakpoint."""
    messages = FIRST.messages
    for turn in range(5):
        calls = tuple(ToolCall(CallId(f"call_{turn}_{n:06}"), "read_file", '{"path": "a"}') for n in range(30))
        before = message_body(msgspec.structs.replace(FIRST, messages=messages), "anthropic", 0)
        answers = Message("user", tuple(ToolAnswer(call.id, "a") for call in calls))
        messages = (*messages, Message("assistant", calls), answers)
        after = message_body(msgspec.structs.replace(FIRST, messages=messages), "anthropic", 0)
        assert breakpoints(before)[-2] in breakpoints(after)
        assert len(breakpoints(after)) <= 4, "more are refused"


async def test_a_turn_of_thinking_alone_is_not_sent_back() -> None:
    script = [*thinking_turn()[:6], *DIALECT.end("end_turn")]
    async with serving(lambda _: stream(script)) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert {type(block) for block in turn.message.blocks} == {Opaque}
    nudged = (*FIRST.messages, turn.message, Message("user", (Text("# Nudge"),)))
    [told] = message_body(msgspec.structs.replace(FIRST, messages=nudged), "anthropic", 0)["messages"]
    assert (told["role"], len(told["content"])) == ("user", 2)


def test_without_a_system_prompt_the_cache_breakpoint_is_on_the_tools() -> None:
    assert breakpoints(message_body(msgspec.structs.replace(FIRST, system=""), "anthropic", 0)) == [
        "/messages/0/content/0",
        "/tools/0",
    ]


def test_the_settings_limit_the_output() -> None:
    assert message_body(FIRST, "anthropic", 0)["max_tokens"] == 1000
    assert message_body(FIRST, "anthropic", 400)["max_tokens"] == 400


def thinking_turn() -> list[bytes]:
    return [
        DIALECT.start(),
        *DIALECT.block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Let me "},
            {"type": "thinking_delta", "thinking": "see."},
            {"type": "signature_delta", "signature": "c2lnbmVk"},
        ),
        *DIALECT.block(1, {"type": "redacted_thinking", "data": "aGlkZGVu"}),
        *DIALECT.block(
            2,
            {"type": "tool_use", "id": "call_abcdef", "name": "shell", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"command": "ls"}'},
        ),
        *DIALECT.end("tool_use"),
    ]


async def test_thinking_is_sent_back_unchanged_and_to_its_provider_alone() -> None:
    heard: list[str] = []
    async with serving(lambda _: stream(thinking_turn())) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, heard.append)
        answered = Message("user", (ToolAnswer(CALL.id, "files"),))
        foreign = Opaque("openai", msgspec.Raw(b'{"type":"reasoning"}'))
        said = Message("assistant", (foreign, *turn.message.blocks))
        await provider.ask(msgspec.structs.replace(FIRST, messages=(*FIRST.messages, said, answered)), ignore)
        await provider.close()
    assert [type(block) for block in turn.message.blocks] == [Opaque, Opaque, ToolCall]
    assert not heard
    assert server.seen[1].body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "aGlkZGVu"},
        {"type": "tool_use", "id": "call_abcdef", "name": "shell", "input": {"command": "ls"}},
    ]


async def test_a_turn_survives_its_journal() -> None:
    async with serving(lambda _: stream(thinking_turn())) as server:
        provider = DIALECT.open(server.url)
        message = (await provider.ask(FIRST, ignore)).message
        await provider.close()
    kept = msgspec.json.decode(msgspec.json.encode(message), type=Message)
    before = message_body(Request("m", "s", (*FIRST.messages, message), ()), "anthropic", 0)
    assert message_body(Request("m", "s", (*FIRST.messages, kept), ()), "anthropic", 0) == before


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", StopReason.END),
        ("stop_sequence", StopReason.END),
        ("max_tokens", StopReason.LENGTH),
        ("model_context_window_exceeded", StopReason.LENGTH),
        ("refusal", StopReason.REFUSAL),
        ("something_new", StopReason.END),
    ],
)
async def test_stop_reasons_are_mapped(reason: str, stop: StopReason) -> None:
    text = DIALECT.block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "x"})
    async with serving(lambda _: stream([DIALECT.start(), *text, *DIALECT.end(reason)])) as server:
        provider = DIALECT.open(server.url)
        assert (await provider.ask(FIRST, ignore)).stop is stop
        await provider.close()


async def test_a_call_cut_off_by_the_output_limit_keeps_its_incomplete_arguments() -> None:
    """They must not become an empty object, which a tool might accept."""
    for piece in ("", '{"command": "rm'):
        call = DIALECT.block(
            0,
            {"type": "tool_use", "id": "call_abcdef", "name": "wait", "input": {}},
            {"type": "input_json_delta", "partial_json": piece},
        )
        script = stream([DIALECT.start(), *call, *DIALECT.end("max_tokens")])
        async with serving(lambda _, script=script: script) as server:  # type: ignore[misc]
            provider = DIALECT.open(server.url)
            turn = await provider.ask(FIRST, ignore)
            await provider.close()
        assert turn.stop is StopReason.LENGTH
        assert turn.message.calls[0].arguments == piece


def test_empty_answers_and_ids_of_other_providers_are_valid() -> None:
    odd = CallId("functions.shell:0 — " + "x" * 200)
    messages = (
        *FIRST.messages,
        Message("assistant", (ToolCall(odd, "bad name!", "[1]"),)),
        Message("user", (ToolAnswer(odd, ""),)),
    )
    body: Any = message_body(msgspec.structs.replace(FIRST, messages=messages), "anthropic", 0)
    call, answer = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert call["id"] == answer["tool_use_id"]
    assert len(call["id"]) <= 64
    assert (call["name"], call["input"]) == ("bad_name_", {"invalid_json": "[1]"})
    assert "content" not in answer


@pytest.mark.parametrize(("reason", "kept"), [("tool_use", 1), ("max_tokens", 0)])
async def test_thinking_without_a_signature_goes_back_to_compatible_servers_unless_it_was_cut(
    reason: str, kept: int
) -> None:
    thinking = DIALECT.block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "Hm."})
    script = [DIALECT.start(), *thinking, *thinking_turn()[-5:-2], *DIALECT.end(reason)]
    async with serving(lambda _: stream(script)) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert sum(isinstance(block, Opaque) for block in turn.message.blocks) == kept


async def test_blocks_are_told_apart_if_all_have_one_index() -> None:
    events = [DIALECT.start()]
    for at, command in enumerate(("ls", "pwd")):
        start = {"type": "tool_use", "id": f"toolu_{at}23456", "name": "shell", "input": {}}
        events += DIALECT.block(
            0, start, {"type": "input_json_delta", "partial_json": json.dumps({"command": command})}
        )
    async with serving(lambda _: stream([*events, *DIALECT.end("tool_use")])) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert [json.loads(call.arguments)["command"] for call in turn.message.calls] == ["ls", "pwd"]


async def test_text_may_come_in_a_block_that_was_not_announced() -> None:
    delta = named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}})
    async with serving(lambda _: stream([DIALECT.start(), delta, *DIALECT.end("end_turn")])) as server:
        provider = DIALECT.open(server.url)
        turn = await provider.ask(FIRST, ignore)
        await provider.close()
    assert turn.message.text == "ok"

"""How compatible servers differ: no usage, no ids, no indexes, another name for the output limit."""

from typing import Any

import pytest

from engine.domain.conversation import StopReason, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import CallId
from tests.engine.models.dialects import FIRST, TWO_CALLS, ChatDialect, unnamed
from tests.engine.models.raw_server import Abort, Seen, Step, refusal, serving, stream

DIALECT = ChatDialect()


def ignore(_: str) -> None:
    """Discard the text."""


async def ask(*steps: Step, events: list[bytes]) -> Turn:
    async with serving(lambda _: stream(events, *steps)) as server:
        provider = DIALECT.open(server.url)
        try:
            return await provider.ask(FIRST, ignore)
        finally:
            await provider.close()


async def test_a_server_without_usage_or_done_gives_a_turn_with_estimated_usage() -> None:
    events = DIALECT.answer("x" * 400)[:-2]
    turn = await ask(events=events)
    assert turn.message.text == "x" * 400
    assert turn.usage.input > 10
    assert 90 < turn.usage.output < 150


async def test_reasoning_counted_only_in_the_total_is_output() -> None:
    usage = {"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725}
    events = [*DIALECT.answer("ok")[:-2], unnamed({"choices": [], "usage": usage}), b"data: [DONE]\n\n"]
    assert (await ask(events=events)).usage.output == 1725 - 758


async def test_a_connection_lost_after_the_finish_reason_loses_only_the_usage() -> None:
    turn = await ask(Abort(), events=DIALECT.answer("ok", calls=TWO_CALLS)[:-2])
    assert len(turn.message.calls) == 2


def piece(**delta: Any) -> bytes:
    return unnamed({"choices": [{"index": 0, "delta": delta}]})


async def test_calls_without_indexes_or_ids_are_told_apart() -> None:
    events = [
        piece(tool_calls=[{"id": "call_first", "function": {"name": "shell", "arguments": '{"command"'}}]),
        piece(tool_calls=[{"function": {"arguments": ': "a"}'}}]),
        piece(tool_calls=[{"id": "call_second", "function": {"name": "shell", "arguments": '{"command": "b"}'}}]),
        *DIALECT.end("tool_calls"),
    ]
    turn = await ask(events=events)
    assert turn.message.calls == (
        ToolCall(CallId("call_first"), "shell", '{"command": "a"}'),
        ToolCall(CallId("call_second"), "shell", '{"command": "b"}'),
    )


async def test_arguments_may_be_an_object_and_names_may_be_repeated() -> None:
    call = {"index": 0, "function": {"name": "shell", "arguments": {"command": "ls"}}}
    events = [
        piece(tool_calls=[call]),
        piece(tool_calls=[{"index": 0, "function": {"name": "shell"}}]),
        *DIALECT.end("stop"),
    ]
    turn = await ask(events=events)
    assert turn.stop is StopReason.TOOLS, "calls say more than a finish reason"
    assert turn.message.calls[0].tool == "shell"
    assert turn.message.calls[0].arguments == '{"command":"ls"}'
    assert turn.message.calls[0].id.startswith("call_")


async def test_a_tool_calls_finish_reason_without_calls_is_a_normal_end() -> None:
    assert (await ask(events=[piece(content="hm"), *DIALECT.end("tool_calls")])).stop is StopReason.END


async def test_thousands_of_calls_in_one_turn_are_rejected() -> None:
    events = [piece(tool_calls=[{"index": n, "function": {"name": "x"}} for n in range(2000)])]
    with pytest.raises(ModelError, match="tool calls"):
        await ask(events=events)


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("stream_options", "Extra inputs are not permitted: stream_options"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    ],
)
async def test_a_rejected_parameter_is_left_out_from_then_on(refused: str, message: str) -> None:
    def script(seen: Seen) -> list[Step]:
        if refused in seen.body:
            return refusal(400, DIALECT.error_body("invalid_request_error", message))
        return stream(DIALECT.answer("ok"))

    async with serving(script) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        assert (caught.value.kind, caught.value.retry_after) == (ModelErrorKind.RETRYABLE, 0.0)
        assert (await provider.ask(FIRST, ignore)).message.text == "ok"
        await provider.close()
    assert {"max_tokens", "max_completion_tokens"} & server.seen[-1].body.keys()


async def test_a_server_that_rejects_both_names_of_the_output_limit_is_not_retried_forever() -> None:
    body = DIALECT.error_body("invalid_request_error", "max_tokens must be at most 512")
    async with serving(lambda _: refusal(400, body)) as server:
        provider = DIALECT.open(server.url)
        kinds = []
        for _ in range(3):
            with pytest.raises(ModelError) as caught:
                await provider.ask(FIRST, ignore)
            kinds.append(caught.value.kind)
        await provider.close()
    assert kinds[1:] == [ModelErrorKind.BAD_REQUEST] * 2

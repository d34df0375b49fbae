"""How compatible servers differ: no usage, no ids, no indexes, another name for the output limit."""

import json
from typing import Any

import msgspec
import pytest

from engine.domain.conversation import Request, StopReason, ToolCall, ToolSpec, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import CallId
from engine.models.adapters import exchange
from tests.engine.models.dialects import FIRST, SHELL, TWO_CALLS, ChatDialect, unnamed
from tests.engine.models.raw_server import Abort, Seen, Stall, Step, refusal, serving, stream

DIALECT = ChatDialect()


def ignore(_: str) -> None:
    """Discard the text."""


async def ask(*steps: Step, events: list[bytes], request: Request = FIRST) -> Turn:
    async with serving(lambda _: stream(events, *steps)) as server:
        provider = DIALECT.open(server.url)
        try:
            return await provider.ask(request, ignore)
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


# --- how servers number calls ---------------------------------------------------------------------------------


def call(index: object = 0, id: str | None = None, name: str | None = None, arguments: object = None) -> dict[str, Any]:
    """A piece of a call; what is None is not in it, and an index of ... neither."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    piece = {"type": "function", "function": function} | ({} if index is ... else {"index": index})
    return piece | ({} if id is None else {"id": id})


A, B = '{"command": "a"}', '{"command": "b"}'
NUMBERINGS: dict[str, list[list[dict[str, Any]]]] = {
    "same-index": [
        [call(0, "call_first", "shell", "")],
        [call(0, None, None, A)],
        [call(0, "call_second", "shell", "")],
        [call(0, None, None, B)],
    ],
    "same-index-whole-calls": [[call(0, "call_first", "shell", A)], [call(0, "call_second", "shell", B)]],
    "same-index-in-one-frame": [[call(0, "call_first", "shell", A), call(0, "call_second", "shell", B)]],
    "same-index-no-ids": [[call(0, "", "shell", A)], [call(0, "", "shell", B)]],
    "same-index-same-id": [[call(0, "call_0", "shell", A)], [call(0, "call_0", "shell", B)]],
    "two-indexes-same-id": [[call(0, "call_0", "shell", A)], [call(1, "call_0", "shell", B)]],
    "no-index-no-ids": [[call(..., None, "shell", A)], [call(..., None, "shell", B)]],
    "null-index": [
        [call(None, "call_first", "shell", '{"command"')],
        [call(None, None, None, ': "a"}')],
        [call(None, "call_second", "shell", B)],
    ],
    "index-as-text": [[call("0", "call_first", "shell", A)], [call("1", "call_second", "shell", B)]],
    "no-index-interleaved": [
        [call(..., "call_first", "shell", '{"command"'), call(..., "call_second", "shell", '{"command"')],
        [call(..., "call_first", None, ': "a"}'), call(..., "call_second", None, ': "b"}')],
    ],
    "interleaved": [
        [call(0, "call_first", "shell", ""), call(1, "call_second", "shell", "")],
        [call(1, None, None, '{"command"'), call(0, None, None, '{"command"')],
        [call(0, None, None, ': "a"}'), call(1, None, None, ': "b"}')],
    ],
    "index-moves-on": [
        [call(0, "call_first", "shell", "")],
        [call(1, None, None, A)],
        [call(2, "call_second", "shell", "")],
        [call(3, None, None, B)],
    ],
    "index-restarts": [
        [call(0, "call_first", "shell", A)],
        [call(1, "call_second", "shell", '{"command"'), call(1, None, None, ': "b"}')],
    ],
    "id-and-name-in-each-piece": [
        [call(0, "call_first", "shell", '{"com'), call(0, "call_first", "shell", 'mand": "a"}')],
        [call(1, "call_second", "shell", '{"com'), call(1, "call_second", "shell", 'mand": "b"}')],
    ],
    "another-id-in-each-piece": [
        [call(0, "call_1", "shell", '{"com'), call(0, "call_2", "shell", 'mand": "a"}')],
        [call(1, "call_3", "shell", '{"com'), call(1, "call_4", None, 'mand": "b"}')],
    ],
    "name-in-fragments": [
        [call(0, "call_first", "sh", ""), call(0, None, "ell", ""), call(0, None, None, A)],
        [call(1, "call_second", "s", ""), call(1, None, "hel", ""), call(1, None, "l", ""), call(1, None, None, B)],
    ],
    "name-so-far": [
        [call(0, "call_first", "sh", ""), call(0, None, "shell", ""), call(0, None, None, A)],
        [call(1, "call_second", "shell", B)],
    ],
    "arguments-as-objects": [
        [call(0, "call_first", "shell", {"command": "a"})],
        [call(0, "call_second", "shell", {"command": "b"})],
    ],
    "nulls-around-the-calls": [
        [call(0, "call_first", "shell", ""), {"index": 0, "id": None, "function": {"name": None, "arguments": A}}],
        [{"index": 1, "id": "call_second", "function": None}, call(1, "", "shell", B), call(1, "", "", "")],
    ],
    "an-id-that-is-the-name": [[call(0, "shell", "shell", A)], [call(0, "shell", "shell", B)]],
    "a-last-frame-repeats-the-call": [
        [call(0, "call_first", "shell", '{"command":'), call(0, None, None, ' "a"}')],
        [call(0, "call_first", "shell", A)],
        [call(1, "call_second", "shell", B)],
    ],
}


@pytest.mark.parametrize("frames", NUMBERINGS.values(), ids=NUMBERINGS.keys())
@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
async def test_calls_are_told_apart_however_they_are_numbered(frames: list[list[dict[str, Any]]], reason: str) -> None:
    turn = await ask(events=[*(piece(tool_calls=frame) for frame in frames), *DIALECT.end(reason)])
    assert turn.stop is StopReason.TOOLS
    assert [(each.tool, json.loads(each.arguments)) for each in turn.message.calls] == [
        ("shell", {"command": "a"}),
        ("shell", {"command": "b"}),
    ]
    assert len({each.id for each in turn.message.calls}) == 2


async def test_an_index_that_restarts_begins_another_call() -> None:
    frames = [call(0, "call_1", "shell", A), call(1, "call_2", "shell", B), call(0, "call_3", "shell", A)]
    turn = await ask(events=[*(piece(tool_calls=[frame]) for frame in frames), *DIALECT.end("tool_calls")])
    assert [json.loads(each.arguments)["command"] for each in turn.message.calls] == ["a", "b", "a"]


async def test_calls_without_arguments_are_told_apart_by_their_names() -> None:
    request = msgspec.structs.replace(FIRST, tools=(SHELL, ToolSpec("wait", "Wait.", {"type": "object"})))
    frames = [call(0, "", "wait", ""), call(0, "", "shell", A)]
    turn = await ask(events=[*(piece(tool_calls=[frame]) for frame in frames), *DIALECT.end("stop")], request=request)
    assert [(each.tool, each.arguments) for each in turn.message.calls] == [("wait", "{}"), ("shell", A)]


async def test_a_call_in_the_form_of_2023_is_a_call() -> None:
    events = [
        piece(function_call={"name": "shell", "arguments": '{"comm'}),
        piece(function_call={"arguments": 'and": "a"}'}),
        *DIALECT.end("function_call"),
    ]
    (only,) = (await ask(events=events)).message.calls
    assert (only.tool, only.arguments) == ("shell", A)


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": call(0, "call_first", "shell", A)},
        {"tool_calls": [call(0, "call_first", "shell", A)], "function_call": {"name": "shell", "arguments": A}},
    ],
    ids=["not-in-a-list", "in-both-forms"],
)
async def test_one_call_is_one_call(delta: dict[str, Any]) -> None:
    (only,) = (await ask(events=[piece(**delta), *DIALECT.end("tool_calls")])).message.calls
    assert (only.tool, only.arguments) == ("shell", A)


async def test_an_answer_in_one_frame_is_taken_whole() -> None:
    message = {"role": "assistant", "content": "I look.", "tool_calls": [call(..., "call_first", "shell", A)]}
    events = [unnamed({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})]
    turn = await ask(events=events)
    assert turn.message.text == "I look."
    assert [each.arguments for each in turn.message.calls] == [A]


async def test_a_message_that_repeats_what_was_streamed_is_not_taken_twice() -> None:
    end = unnamed({"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]})
    assert (await ask(events=[piece(content="Hel"), piece(content="lo"), end])).message.text == "Hello"


async def test_text_may_come_as_a_list_of_parts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Hello"}]
    assert (await ask(events=[piece(content=parts), *DIALECT.end("stop")])).message.text == "Hello"


# --- how answers end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [[piece(content="Hello")], [piece(tool_calls=[call(0, "call_first", "shell", A)])]])
async def test_done_ends_an_answer_without_a_finish_reason(events: list[bytes]) -> None:
    turn = await ask(events=[*events, b"data: [DONE]\n\n"])
    assert turn.message.text == "Hello" or turn.stop is StopReason.TOOLS


async def test_a_stream_that_stays_open_after_its_finish_reason_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "AFTER_END", 0.1)
    assert (await ask(Stall(), events=DIALECT.answer("Hello")[:-2])).message.text == "Hello"


async def test_an_empty_answer_that_ends_is_an_answer() -> None:
    turn = await ask(events=[piece(role="assistant", content=""), b"data: [DONE]\n\n"])
    assert turn.message.blocks == ()


async def test_done_alone_is_no_answer() -> None:
    with pytest.raises(ModelError) as caught:
        await ask(events=[b"data: [DONE]\n\n"])
    assert (caught.value.kind, caught.value.usage.input) == (ModelErrorKind.RETRYABLE, 0)


async def test_an_answer_that_breaks_off_without_done_is_not_whole() -> None:
    with pytest.raises(ModelError) as caught:
        await ask(events=[piece(content="Hel")])
    assert caught.value.kind is ModelErrorKind.RETRYABLE


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
async def test_a_finish_reason_that_tells_of_a_failure_can_be_retried(reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        await ask(events=[piece(content="Hel"), *DIALECT.end(reason)])
    assert caught.value.kind is ModelErrorKind.RETRYABLE


@pytest.mark.parametrize("reason", ["length", "max_tokens", "model_length"])
async def test_every_name_of_the_output_limit_is_known(reason: str) -> None:
    assert (await ask(events=[piece(content="Hel"), *DIALECT.end(reason)])).stop is StopReason.LENGTH


async def test_usage_may_come_in_several_frames_and_end_with_zeros() -> None:
    events = [
        unnamed({"choices": [{"index": 0, "delta": {"content": "ok"}}], "usage": {"prompt_tokens": 120}}),
        unnamed({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"completion_tokens": 7}}]}),
        unnamed({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": None}}),
    ]
    usage = (await ask(events=events)).usage
    assert (usage.input, usage.output) == (120, 7)


# --- what a refusal means -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            {"error": {"message": "registry.ollama.ai/library/gemma:7b does not support tools", "type": "api_error"}},
        ),
        (
            400,
            {
                "object": "error",
                "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
                "type": "BadRequestError",
            },
        ),
        (500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
        (400, {"error": {"message": "`tool calling` is not supported with this model"}}),
        (400, {"error": {"message": "tools is not supported in this model.", "param": "tools"}}),
        (400, {"error": {"message": "deepseek-reasoner does not support Function Calling"}}),
        (400, [{"error": {"code": 400, "message": "Function calling is not enabled for models/gemma-3-27b-it"}}]),
        (404, {"error": {"message": "No endpoints found that support tool use.", "code": 404}}),
    ],
)
async def test_a_model_that_takes_no_tools_is_refused_with_advice(status: int, body: object) -> None:
    async with serving(lambda _: refusal(status, body)) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.REFUSED
    assert "agents need tools: choose another model" in caught.value.message
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        "input is too large to process. increase the physical batch size",
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context "
        "length of only 4096 tokens, which is not enough.",
        "Your request exceeded model token limit: 131072",
        "Prompt exceeds max length",
        "invalid params, context window exceeds limit (2013)",
        "Range of input length should be [1, 30720]",
        "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and 1000 `max_new_tokens`",
        "prompt token count of 130000 exceeds the limit of 128000",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4116.",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
        "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 4096 "
        "tokens and your request has 1500 input tokens (8000 > 4096 - 1500).",
    ],
)
async def test_every_way_to_say_that_a_prompt_does_not_fit_is_known(message: str) -> None:
    async with serving(lambda _: refusal(400, DIALECT.error_body("invalid_request_error", message))) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.CONTEXT_LENGTH
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail: no API secret key"}}),
        (200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        (200, {"code": 401, "msg": "invalid token", "data": None}),
        (200, {"success": False, "code": 404, "msg": "NOT_FOUND"}),
        (429, {"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}}),
    ],
)
async def test_a_refusal_is_known_whatever_its_status_is(status: int, body: dict[str, Any]) -> None:
    async with serving(lambda _: refusal(status, body)) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.REFUSED
    assert "cut short" not in caught.value.message


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_that_the_server_could_not_read_is_asked_for_again(streamed: bool) -> None:
    said = {
        "error": {
            "message": "Failed to call a function. Please adjust your prompt. See 'failed_generation'.",
            "type": "invalid_request_error",
            "code": "tool_use_failed",
            "failed_generation": '<function=shell>{"command": null}</function> unknown messages',
        }
    }
    async with serving(lambda _: stream([unnamed(said)]) if streamed else refusal(400, said)) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError) as caught:
            await provider.ask(FIRST, ignore)
        await provider.close()
    assert caught.value.kind is ModelErrorKind.RETRYABLE
    assert not caught.value.learned
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "errors": [{"code": 7003, "message": "No route for that URI"}]},
        {"error": [{"message": "No route for that URI"}, {"message": "another"}]},
        {"title": "Bad Request", "status": 400, "errors": {"messages": ["No route for that URI"]}},
        {"Error": "No route for that URI"},
    ],
)
async def test_a_refusal_of_unknown_shape_is_shown_as_it_is(body: object) -> None:
    async with serving(lambda _: refusal(400, body)) as server:
        provider = DIALECT.open(server.url)
        with pytest.raises(ModelError, match="No route for that URI"):
            await provider.ask(FIRST, ignore)
        await provider.close()

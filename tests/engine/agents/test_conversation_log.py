"""A conversation built from events: what it measures."""

import msgspec
import pytest

from engine.agents import conversation_log
from engine.agents.conversation_log import Conversation
from engine.domain import events as e
from engine.domain.conversation import Message, StopReason, Text, ToolCall
from engine.domain.types import AgentId, CallId, ModelName, ToolCallState, Usage

AGENT = AgentId("a1")


def apply(conversation: Conversation, body: e.Body) -> None:
    conversation.apply(e.Event(1, 0, 0, body, AGENT))


def turn(conversation: Conversation, number: int) -> None:
    call = ToolCall(CallId(f"c{number}"), "read_file", '{"path": "a"}')
    message = Message("assistant", (Text("reading"), call))
    apply(
        conversation,
        e.TurnTaken(ModelName("m"), "go on", (), message, StopReason.TOOLS, Usage(10, 0, 5), "p", 0.1),
    )
    apply(conversation, e.ToolFinished(call.id, "read_file", ToolCallState.OK, "é\n" * 500, (), 0.1))


def encoded(conversation: Conversation) -> int:
    return sum(len(msgspec.json.encode(message)) + 1 for message in conversation.messages)


def test_its_size_follows_turns_dropped_answers_and_a_summary() -> None:
    conversation = Conversation()
    sizes = []
    for number in range(20):
        turn(conversation, number)
        assert conversation.size == encoded(conversation)
    sizes.append(conversation.size)
    apply(conversation, e.AnswersDropped(6))
    assert conversation.size == encoded(conversation) < sizes[0]
    apply(conversation, e.ContextCompacted("# Task: x", Usage()))
    assert conversation.size == 0
    turn(conversation, 20)
    assert conversation.size == encoded(conversation) > 0


def test_measuring_it_encodes_each_message_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    encode = msgspec.json.encode
    monkeypatch.setattr(
        conversation_log.msgspec.json,
        "encode",
        lambda value: made.append(value) or encode(value),  # type: ignore[func-returns-value]
    )
    conversation = Conversation()
    for number in range(50):
        turn(conversation, number)
        assert conversation.size > 0
    assert len(made) == len(conversation.messages)

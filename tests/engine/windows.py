"""Context windows: how large a request is, and whether a provider would accept it."""

from engine.domain.conversation import Request, ToolAnswer, ToolCall, Turn
from engine.domain.types import Usage
from tests.simulated import turn


def size(request: Request) -> int:
    """The tokens of a request as a server would count them: a quarter of the characters."""
    texts = [block.text for message in request.messages for block in message.blocks if hasattr(block, "text")]
    return (len(request.system) + sum(map(len, texts))) // 4


def answered(request: Request, *calls: ToolCall, **more: str) -> Turn:
    return turn(*calls, usage=Usage(input=size(request), output=50), **more)


def is_summary(request: Request) -> bool:
    return "# Compaction" in request.messages[-1].text


def check_whole(request: Request) -> None:
    """Check what every provider requires: roles alternate, and each call has one answer in the next message."""
    assert request.messages[0].role == "user"
    for before, after in zip(request.messages, request.messages[1:], strict=False):
        assert before.role != after.role
        if before.role == "assistant":
            answers = [block.id for block in after.blocks if isinstance(block, ToolAnswer)]
            assert answers == [made.id for made in before.calls]
    first = request.messages[0]
    assert not any(isinstance(block, ToolAnswer) for block in first.blocks)


def common(one: bytes, other: bytes) -> int:
    """How many bytes both start with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low

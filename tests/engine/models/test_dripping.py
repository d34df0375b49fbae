"""Servers that drip: bytes keep coming, but an answer never ends, or what is reported of it cannot be true."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.domain.conversation import Message, Request, Text
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName, Usage
from engine.models.client import ModelClient
from engine.system import SystemClock, SystemRandomness
from tests.engine.models.dialects import DIALECTS, Called, Dialect
from tests.engine.models.raw_server import Chunk, Send, Step, Wait, head, serving, stream

PATIENCE_S = 1.5
ASKED = Request("m", "Be brief.", (Message("user", (Text("Tell me everything."),)),), (), max_output=1_000)


def dripped(events: list[bytes]) -> list[Step]:
    """The events, one every 20 ms, and then comments for ever."""
    steps: list[Step] = [head()]
    for event in [*events, *([b": ping\n\n"] * 5_000)]:
        steps += [Chunk(event), Wait(0.02)]
    return steps


def words(dialect: Dialect) -> list[Step]:
    return dripped(dialect.answer(*["word "] * 500)[:500])


def arguments(dialect: Dialect) -> list[Step]:
    return dripped(dialect.answer(calls=(Called("call_00000001", "shell", ("{", *['"a", '] * 500)),))[:500])


def comments(dialect: Dialect) -> list[Step]:
    return dripped(dialect.answer("a")[:1])


def headers(dialect: Dialect) -> list[Step]:
    steps: list[Step] = [Send(b"HTTP/1.1 200 OK\r\nx-slow: ")]
    return [*steps, *[step for _ in range(5_000) for step in (Send(b"a"), Wait(0.02))]]


def one_line(dialect: Dialect) -> list[Step]:
    return [head(), *[step for _ in range(5_000) for step in (Chunk(b"data: " + b"x" * 1_000), Wait(0.02))]]


def refusal(dialect: Dialect) -> list[Step]:
    """An error whose JSON body never ends."""
    start = [head(429, "application/json"), Chunk(b'{"error": {"message": "')]
    return [*start, *[step for _ in range(5_000) for step in (Chunk(b"a"), Wait(0.02))]]


async def asked(dialect: Dialect, script: Callable[[Any], list[Step]], told: list[Usage], **settings: Any) -> Any:
    async with serving(script) as server:
        address = server.url if dialect.name == "anthropic" else f"{server.url}/v1"
        own = ProviderSettings(base_url=address, max_retries=0, input_price=1.0, output_price=1.0, **settings)
        environ = {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}
        client = ModelClient({dialect.name: own}, environ, SystemClock(), SystemRandomness(1))
        try:
            return await client.ask(
                ModelName(f"{dialect.name}:m"), ASKED, lambda text: None, lambda *_: None, told.append
            )
        finally:
            await client.close()


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("drip", [words, arguments, comments, headers, one_line, refusal])
async def test_a_call_ends_at_its_deadline_however_a_server_drips(
    dialect: Dialect, drip: Callable[[Dialect], list[Step]]
) -> None:
    told: list[Usage] = []
    began = time.monotonic()
    with pytest.raises(ModelError) as caught:
        await asked(dialect, lambda seen: drip(dialect), told, call_timeout=PATIENCE_S)
    assert time.monotonic() - began < 60, "the drips take minutes"
    assert caught.value.kind is ModelErrorKind.RETRYABLE
    assert caught.value.message.startswith(f"no whole answer within {PATIENCE_S} s (call_timeout), ")
    if drip in (words, arguments):
        used = caught.value.usage
        assert used.input > 0
        assert used.output > 0
        assert used.usd
        assert f"about {used.output} tokens of it came" in caught.value.message
        assert 0 < told[-1].output <= used.output, "what streams counts as it comes"


async def test_an_answer_far_longer_than_it_may_be_is_broken_off(dialect: Dialect) -> None:
    def script(seen: Any) -> list[Step]:
        return stream(dialect.answer(*["a long piece of text " * 500] * 100))

    told: list[Usage] = []
    with pytest.raises(ModelError, match="much longer than 1000 tokens") as caught:
        await asked(dialect, script, told)
    assert caught.value.usage.output > 10_000


@pytest.mark.parametrize("reported", [0, -5, 10**12, 900_000], ids=str)
async def test_what_a_server_reports_is_never_free_and_never_more_than_is_possible(
    dialect: Dialect, reported: int
) -> None:
    events = [_reporting(event, reported) for event in dialect.answer("word " * 400)]
    turn = await asked(dialect, lambda seen: stream(events), [])
    assert 0 < turn.usage.input < 5_000
    assert 100 < turn.usage.output <= 1_000
    assert bool(turn.doubt) is (reported == 900_000)


def _reporting(event: bytes, tokens: int) -> bytes:
    """The event with another number in all its counts of tokens."""
    return re.sub(rb'("(?:input|output|prompt|completion|total)_tokens": ?)\d+', rb"\g<1>%d" % tokens, event)

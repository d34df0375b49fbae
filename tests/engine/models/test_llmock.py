"""The whole client against a third-party server that injects faults and judges how they are handled."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from engine.domain.conversation import Message, Request, StopReason, Text, ToolAnswer, ToolSpec
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName
from engine.models.client import ModelClient
from tests.engine.models.real_clock import RealClock
from tests.simulated.time import SeededRandomness

SERVE = (
    "import sys; from llmock.testing import LLMockServer\n"
    "with LLMockServer() as server: print(server.url, flush=True); sys.stdin.read()"
)
MODELS = ["anthropic:claude-sonnet-4-6", "openai:gpt-4o", "openai-chat:gpt-4o"]
SHELL = ToolSpec("shell", "Run.", {"type": "object", "properties": {"command": {"type": "string"}}})
REQUEST = Request("", "You are a worker.", (Message("user", (Text("Do it."),)),), (SHELL,), conversation="agent-1")
FAULTS: list[dict[str, Any]] = [
    {"type": "fail", "status": 429, "retry_after": 0.3},
    {"type": "fail", "status": 408},
    {"type": "fail", "status": 500},
    {"type": "fail", "status": 503, "retry_after": 0.2},
    {"type": "fail", "status": 529},
    {"type": "stream_fault", "kind": "disconnect", "after_chunks": 2},
    {"type": "stream_fault", "kind": "truncate", "after_chunks": 2},
    {"type": "stream_fault", "kind": "malformed", "after_chunks": 1},
    {"type": "stream_fault", "kind": "stall", "after_chunks": 1, "stall_seconds": 30},
    {"type": "slow_first_token", "seconds": 0.2},
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server in its own process, which ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        yield url
        assert server.stdin is not None
        server.stdin.close()
        server.wait(20)


@contextlib.asynccontextmanager
async def control(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{address}/_llmock", timeout=20) as client:
        (await client.post("/reset")).raise_for_status()
        yield client


def desk_at(address: str) -> ModelClient:
    quick: dict[str, Any] = {"stall_timeout": 1.0, "max_retries": 3}
    settings = {
        "anthropic": ProviderSettings(base_url=f"{address}/anthropic", **quick),
        "openai": ProviderSettings(base_url=f"{address}/v1", **quick),
        "openai-chat": ProviderSettings(base_url=f"{address}/v1", **quick),
    }
    keys = {"ANTHROPIC_API_KEY": "sk-ant-1234567890", "OPENAI_API_KEY": "sk-1234567890"}
    return ModelClient(settings, keys, RealClock(), SeededRandomness(3))


def ignore(*_: object) -> None:
    """Discard the text."""


@pytest.mark.parametrize("model", MODELS)
async def test_every_injected_fault_is_survived_without_a_finding(address: str, model: str) -> None:
    desk = desk_at(address)
    async with control(address) as judge:
        for fault in FAULTS:
            (await judge.post("/scenario", json={"behaviors": [fault]})).raise_for_status()
            retries: list[float] = []
            turn = await desk.ask(
                ModelName(model), REQUEST, ignore, lambda _reason, wait, _spent, told=retries: told.append(wait)
            )
            assert turn.stop is StopReason.TOOLS
            assert turn.message.calls[0].tool == "shell"
            assert len(retries) == (fault["type"] != "slow_first_token")
        verdict = (await judge.get("/verdict")).json()
        assert verdict["passed"], verdict["findings"]
        # A small answer is sent completely before the client can hang up on its broken part. Then the judge misses
        # the retry, so retries are counted above.
        assert {finding["code"] for finding in verdict["findings"]} <= {"malformed_chunk_ignored"}
        assert verdict["faults_injected"] >= len(FAULTS) - 1
    await desk.close()


@pytest.mark.parametrize("model", MODELS)
async def test_permanent_failures_are_asked_once(address: str, model: str) -> None:
    desk = desk_at(address)
    async with control(address) as judge:
        kinds = {
            401: ModelErrorKind.REFUSED,
            403: ModelErrorKind.REFUSED,
            400: ModelErrorKind.BAD_REQUEST,
            422: ModelErrorKind.BAD_REQUEST,
        }
        for status, kind in kinds.items():
            await judge.post("/scenario", json={"behaviors": [{"type": "fail", "status": status}]})
            with pytest.raises(ModelError) as caught:
                await desk.ask(ModelName(model), REQUEST, ignore, ignore)
            assert caught.value.kind is kind
        seen = (await judge.get("/requests")).json()
        assert seen["count"] == len(kinds)
    await desk.close()


@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_call_is_answered_and_the_turn_ends(address: str, model: str) -> None:
    desk = desk_at(address)
    async with control(address):
        first = await desk.ask(ModelName(model), REQUEST, ignore, ignore)
        answers = Message("user", tuple(ToolAnswer(call.id, "files") for call in first.message.calls))
        told = Request("", REQUEST.system, (*REQUEST.messages, first.message, answers), REQUEST.tools)
        last = await desk.ask(ModelName(model), told, ignore, ignore)
    assert last.stop is StopReason.END
    assert last.message.text
    assert last.usage.usd is not None or model.startswith("openai-chat")
    await desk.close()


@pytest.mark.parametrize("model", MODELS)
async def test_malformed_arguments_arrive_unchanged(address: str, model: str) -> None:
    desk = desk_at(address)
    async with control(address) as judge:
        await judge.post("/scenario", json={"behaviors": [{"type": "tool_fault", "kind": "malformed_arguments"}]})
        turn = await desk.ask(ModelName(model), REQUEST, ignore, ignore)
    with pytest.raises(ValueError):
        json.loads(turn.message.calls[0].arguments)
    await desk.close()

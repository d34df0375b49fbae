"""Whole conversations with a third-party server whose answers depend on the requests."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.domain.conversation import Message, Opaque, Request, StopReason, Text, ToolAnswer, ToolSpec, Turn
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName
from engine.models.client import ModelClient
from tests.engine.models.real_clock import RealClock
from tests.simulated.time import SeededRandomness

SERVERS = Path(__file__).parents[2] / "servers"
SHIPPED = ("package.json", "package-lock.json", "aimock.mjs", "conversations.json")
MODELS = ["anthropic:claude-opus-4-8", "openai:gpt-5", "openai-chat:any"]
TOOLS = tuple(ToolSpec(name, name, {"type": "object"}) for name in ("shell", "read_file", "submit_handoff"))


@pytest.fixture(scope="session")
def installed() -> Path:
    """The server, installed once per lock file, next to the tests' packages."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are needed to run this server")
    version = hashlib.blake2b(b"".join((SERVERS / name).read_bytes() for name in SHIPPED), digest_size=8).hexdigest()
    cache = Path(sys.prefix) / "test-servers"
    folder = cache / f"aimock-{version}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache))
        for name in SHIPPED:
            shutil.copy(SERVERS / name, fresh)
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run = subprocess.run(install, cwd=fresh, capture_output=True, text=True, timeout=100)
        if run.returncode:
            shutil.rmtree(fresh)
            pytest.skip(f"npm could not install the server: {run.stderr.strip().splitlines()[-1:]}")
        try:
            fresh.rename(folder)
        except OSError:  # another test run has installed it meanwhile
            shutil.rmtree(fresh)
    return folder


@pytest.fixture
def address(installed: Path) -> Iterator[str]:
    command = ["node", "aimock.mjs", "conversations.json"]
    with subprocess.Popen(command, cwd=installed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        yield url
        assert server.stdin is not None
        server.stdin.close()
        server.wait(20)


def desk_at(address: str) -> ModelClient:
    settings = {
        "anthropic": ProviderSettings(base_url=address),
        "openai": ProviderSettings(base_url=f"{address}/v1"),
        "openai-chat": ProviderSettings(base_url=f"{address}/v1"),
    }
    keys = {"ANTHROPIC_API_KEY": "sk-ant-1234567890", "OPENAI_API_KEY": "sk-1234567890"}
    return ModelClient(settings, keys, RealClock(), SeededRandomness(1))


def opening(title: str) -> Request:
    return Request("", "You are a worker.", (Message("user", (Text(f"# Task: {title}"),)),), TOOLS, conversation="a-1")


def answered(request: Request, turn: Turn, *answers: str) -> Request:
    told = (ToolAnswer(call.id, text) for call, text in zip(turn.message.calls, answers, strict=True))
    return msgspec.structs.replace(request, messages=(*request.messages, turn.message, Message("user", tuple(told))))


def ignore(*_: object) -> None:
    """Discard the text."""


@pytest.mark.parametrize("model", MODELS)
async def test_a_conversation_runs_to_its_handoff(address: str, model: str) -> None:
    desk = desk_at(address)
    heard: list[str] = []
    request = opening("Look around")
    turn = await desk.ask(ModelName(model), request, heard.append, ignore)
    assert turn.stop is StopReason.TOOLS
    assert "".join(heard) == turn.message.text == "I look around first."
    assert len(heard) > 1
    assert [(call.tool, msgspec.json.decode(call.arguments)) for call in turn.message.calls] == [
        ("shell", {"command": "ls -l"}),
        ("read_file", {"path": "README.md"}),
    ]
    request = answered(request, turn, "README.md", "1\t# Project")
    turn = await desk.ask(ModelName(model), request, ignore, ignore)
    assert msgspec.json.decode(turn.message.calls[0].arguments) == {"status": "done", "summary": "Looked — all fine."}
    turn = await desk.ask(ModelName(model), answered(request, turn, "accepted"), ignore, ignore)
    assert (turn.stop, turn.message.text) == (StopReason.END, "I have handed off.")
    await desk.close()


@pytest.mark.parametrize("model", MODELS)
async def test_reasoning_does_not_disturb_the_conversation(address: str, model: str) -> None:
    desk = desk_at(address)
    request = opening("Think")
    turn = await desk.ask(ModelName(model), request, ignore, ignore)
    assert turn.message.text == ""
    if model.startswith("anthropic"):
        assert isinstance(turn.message.blocks[0], Opaque)
    turn = await desk.ask(ModelName(model), answered(request, turn, "exit 0"), ignore, ignore)
    assert turn.message.text == "Thought."
    await desk.close()


@pytest.mark.parametrize("model", MODELS)
async def test_a_busy_server_is_retried_after_the_time_it_asked_for(address: str, model: str) -> None:
    desk = desk_at(address)
    told: list[tuple[str, float]] = []
    turn = await desk.ask(
        ModelName(model), opening("Busy"), ignore, lambda reason, wait, _: told.append((reason, wait))
    )
    assert turn.message.text == "Now I can."
    assert [reason for reason, _ in told] == ["429: slow down"]
    assert told[0][1] >= 1
    assert desk.statistics[model.partition(":")[0]].rate_limited_s >= 1
    await desk.close()

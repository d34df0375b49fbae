"""A small real model behind a compatible server: whatever it says, it comes as a turn or as a ModelError."""

import importlib
import os
from typing import Any

import pytest

from engine.conversation import Message, Request, Text, ToolAnswer, ToolSpec, Turn
from engine.errors import ModelError
from engine.models.limits import ModelDesk
from engine.settings import ProviderSettings
from engine.types import ModelName
from tests.engine.models.real_clock import RealClock
from tests.simulated.time import SeededRandomness

pytestmark = pytest.mark.real_model
SHELL = ToolSpec(
    "shell",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)


@pytest.fixture
def server() -> Any:
    """A server of the model file that SWARM_TEST_GGUF names; `listening_address` is where it listens."""
    path = os.environ.get("SWARM_TEST_GGUF", "")
    if not os.path.isfile(path):
        pytest.skip("SWARM_TEST_GGUF names no model file")
    try:
        library: Any = importlib.import_module("xllamacpp")
    except ImportError:
        pytest.skip("xllamacpp is not installed")
    settings = library.CommonParams()
    settings.model.path = path
    settings.n_ctx = 2048
    settings.use_jinja = True
    return library.Server(settings)


def ignore(*_: object) -> None:
    """What nobody watches."""


@pytest.mark.timeout(600)
async def test_a_terrible_model_gives_turns_or_clean_errors(server: Any) -> None:
    address = ProviderSettings(base_url=f"{server.listening_address}/v1", max_output=128, max_retries=1)
    desk = ModelDesk({"openai-chat": address}, {}, RealClock(), SeededRandomness(1))
    messages: tuple[Message, ...] = (Message("user", (Text("List the files with the shell tool."),)),)
    for _ in range(3):
        try:
            turn = await desk.ask(
                ModelName("openai-chat:any"), Request("", "You are a worker.", messages, (SHELL,)), ignore, ignore
            )
        except ModelError:
            break
        assert isinstance(turn, Turn)
        assert turn.usage.input > 0
        answers = tuple(ToolAnswer(call.id, "README.md") for call in turn.message.calls)
        messages = (*messages, turn.message, Message("user", (*answers, Text("Go on."))))
    await desk.close()

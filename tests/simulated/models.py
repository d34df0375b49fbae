"""Models that a test scripts: a turn or an error for each request. Every request is kept as bytes."""

import inspect
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from engine.domain.conversation import Message, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.types import CallId, ModelName, Usage
from engine.models.registry import split_model
from tests.simulated.power import Power
from tests.simulated.time import SimulatedClock

Answer = Turn | Exception
Script = Callable[[ModelName, Request], Answer | Awaitable[Answer]]
"""A test's model: it sees only what a provider would get. An exception that it returns is raised."""

USED = Usage(input=100, cached=50, output=20, usd=0.001)
"""What a turn uses unless its test says otherwise."""

_numbers = itertools.count(1)


def call(tool: str, **arguments: object) -> ToolCall:
    """A tool call with a new id."""
    return ToolCall(CallId(f"call_{next(_numbers)}"), tool, msgspec.json.encode(arguments).decode())


def turn(*calls: ToolCall, text: str = "", stop: StopReason | None = None, usage: Usage | None = None) -> Turn:
    """A complete turn with these calls and this text."""
    blocks = ((Text(text),) if text else ()) + calls
    reason = stop or (StopReason.TOOLS if calls else StopReason.END)
    return Turn(Message("assistant", blocks), reason, usage or USED)


def first_line(request: Request) -> str:
    """The first line of the first user message, such as `# Task: TITLE`, which tells the agents apart."""
    return request.messages[0].text.splitlines()[0]


def answers(request: Request) -> list[str]:
    """The answers to the last turn's tool calls."""
    last = request.messages[-1]
    return [block.text for block in last.blocks if isinstance(block, ToolAnswer)]


def interrupted(request: Request) -> tuple[ToolCall, ...]:
    """The calls of the last turn whose outcome is unknown because the program was restarted."""
    last = request.messages[-1].blocks
    lost = {block.id for block in last if isinstance(block, ToolAnswer) and block.text.startswith("interrupted")}
    return tuple(call for call in request.messages[-2].calls if call.id in lost) if lost else ()


@dataclass(frozen=True)
class Asked:
    """One recorded request. `data` is all of it as JSON bytes, to search for what must not be there."""

    model: ModelName
    request: Request
    data: bytes


class ScriptedModels:
    """Implements `Models`. `asked` has every request. A call takes `latency_s()` simulated seconds."""

    def __init__(self, script: Script, clock: SimulatedClock, power: Power, latency_s: Callable[[], float]) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.tokens_in_window = 200_000
        self.most_of: Callable[[Request], Usage] = lambda request: USED
        """The most that a call may use; a test whose turns use more says so here."""
        self.queue: Callable[[Request], Awaitable[None]] = _no_queue
        """Returns when a call may be sent."""
        self._clock = clock
        self._power = power
        self._latency_s = latency_s

    def check(self, model: ModelName) -> None:
        split_model(model)

    async def prepare(self, models: Sequence[ModelName]) -> None:
        """Accept every model."""

    async def ask(
        self,
        model: ModelName,
        request: Request,
        on_text: Callable[[str], None],
        on_retry: Callable[[str, float, Usage], None],
        on_progress: Callable[[Usage], None] = lambda usage: None,
        on_start: Callable[[], None] = lambda: None,
    ) -> Turn:
        await self._power.needed()
        await self.queue(request)
        on_start()
        self.asked.append(Asked(model, request, msgspec.json.encode(request)))
        await self._clock.sleep(self._latency_s())
        answer = self.script(model, request)
        if inspect.isawaitable(answer):
            answer = await answer
        await self._power.needed()
        if isinstance(answer, Exception):
            raise answer
        if answer.message.text:
            on_text(answer.message.text)
        return answer

    def most(self, model: ModelName, request: Request) -> Usage:
        return self.most_of(request)

    def window(self, model: ModelName) -> int:
        return self.tokens_in_window

    def longest_wait(self, model: ModelName) -> float:
        return 60.0

    async def close(self) -> None:
        await self._power.needed()


async def _no_queue(request: Request) -> None:
    """Every call is sent at once."""


def replace_usage(answer: Turn, usage: Usage) -> Turn:
    """The turn with another usage."""
    return msgspec.structs.replace(answer, usage=usage)

"""The rehearsal: a scripted stand-in for a model, for demos without a key and for load tests.

Its turns depend only on the request, which is what any provider gets, the playbook and a seed.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from engine.domain.conversation import Message, Request, StopReason, Text, ToolAnswer, ToolCall, Turn
from engine.domain.errors import ErrorKind, ModelError, ModelErrorKind, SwarmError
from engine.domain.os_text import path_str
from engine.domain.types import CallId, Usage
from engine.models.endpoint import Endpoint
from engine.models.rehearsal.generated_playbook import Load, generate
from engine.models.rehearsal.planner_script import planner_line, planner_position
from engine.models.rehearsal.playbook import Playbook, list_samples, load_playbook, unknown_sample
from engine.models.rehearsal.script_position import Position, ScriptContext, messages_in, read_context
from engine.models.rehearsal.worker_script import Line, worker_line, worker_position
from engine.ports.protocols import Clock

_THINKING_S = (0.4, 3.0)
_CHUNK = 24
"""Characters of text per streamed chunk."""
_CHUNK_S = 0.05
_PLANNERS = ("intent", "slice")


class Rehearsed(Struct, frozen=True):
    """A parsed rehearsal name. `speed` scales all waits (0: none); `seed` varies random choices.

    `turn_s`: if set, every turn takes this many seconds and its text arrives at once.
    """

    playbook: Playbook
    speed: float
    seed: int
    turn_s: float = 0.0


def open_rehearsal(name: str) -> Rehearsed:
    """Parse `NAME?speed=0&…` and load the playbook.

    NAME is a bundled sample, a playbook.toml or a folder with one. Raises SwarmError: provider for an unknown name
    (suggesting the nearest) or option, settings for an invalid playbook.
    """
    place, _, query = name.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    speed, turn_s = _number(options.pop("speed", "1"), "speed"), _number(options.pop("turn_s", "0"), "turn_s")
    seed = int(_number(options.pop("seed", "0"), "seed"))
    if turn_s:
        speed = 0.0
    samples = {sample.name: sample.folder for sample in list_samples()}
    if place == "load":
        return Rehearsed(generate(_load(options, seed)), speed, seed, turn_s)
    if options:
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"the rehearsal `{place}` has no option `{next(iter(options))}`",
            "options: speed, seed, turn_s; `load` also takes planners, tasks, conflicts, shell, drafts",
        )
    named = (Path(path).expanduser() for path in (place, path_str(place)))
    folder = samples.get(place) or next((path for path in named if path.exists()), None)
    if folder is None:
        raise unknown_sample(place, ErrorKind.PROVIDER)
    return Rehearsed(load_playbook(folder), speed, seed, turn_s)


class RehearsalProvider:
    """Plays playbooks. Its only state is the playbooks it has loaded, so one instance serves all agents."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.name
        self._clock: Clock = endpoint.clock
        self._opened: dict[str, Rehearsed] = {}

    async def ask(
        self,
        request: Request,
        on_text: Callable[[str], None],
        on_output: Callable[[int], None] = lambda characters: None,
    ) -> Turn:
        """One turn. Raises ModelError: refused for an unknown playbook, bad_request for a scripted crash."""
        rehearsed = self._open(request.model)
        line = next_line(rehearsed.playbook, request)
        draw = _draws(request, rehearsed.seed)
        if rehearsed.turn_s:
            await self._clock.sleep(rehearsed.turn_s)
        await self._wait(rehearsed, _THINKING_S[0] + (_THINKING_S[1] - _THINKING_S[0]) * draw**2)
        if line.crash:
            raise ModelError(ModelErrorKind.BAD_REQUEST, line.crash, status=400)
        step = _CHUNK if rehearsed.speed else max(1, len(line.text))
        for start in range(0, len(line.text), step):
            on_text(line.text[start : start + step])
            on_output(start + step)
            await self._wait(rehearsed, _CHUNK_S)
        return _turn(request, line, rehearsed.seed)

    async def close(self) -> None:
        self._opened.clear()

    def _open(self, model: str) -> Rehearsed:
        if model not in self._opened:
            try:
                self._opened[model] = open_rehearsal(model)
            except SwarmError as error:
                raise ModelError(ModelErrorKind.REFUSED, f"{error.message} ({error.hint})") from error
        return self._opened[model]

    async def _wait(self, rehearsed: Rehearsed, seconds: float) -> None:
        if rehearsed.speed:
            await self._clock.sleep(seconds * rehearsed.speed)


def next_line(playbook: Playbook, request: Request) -> Line:
    """What the agent says and does next, computed from the playbook and the request alone."""
    conversation = read_context(request)
    told = messages_in(conversation.told)
    planner = conversation.kind in _PLANNERS
    if any(heading == "Compaction" for heading, _ in told):
        return Line(_summary(playbook, conversation))
    line = planner_line(playbook, conversation) if planner else worker_line(playbook, conversation)
    words = [body for heading, body in told if heading == "Message from the user"]
    if words and not line.crash:
        heard = re.sub(r"\s+", " ", words[-1])[:80]
        return msgspec.structs.replace(line, text=f"Understood: “{heard}”. I keep to my playbook. {line.text}")
    return line


def _summary(playbook: Playbook, conversation: ScriptContext) -> str:
    planner = conversation.kind in _PLANNERS
    kept: Position = planner_position(playbook, conversation) if planner else worker_position(playbook, conversation)
    done = f"{len(kept.heard)} handoffs are in" if planner else f"{kept.steps} steps are made"
    return f"{conversation.title}: {done}; I go on from there.\n\nPosition: {msgspec.json.encode(kept).decode()}"


def _turn(request: Request, line: Line, seed: int) -> Turn:
    mark = _digest(request, seed)[:12]
    calls = tuple(
        ToolCall(CallId(f"call_{mark}_{number}"), call.tool, call.raw or msgspec.json.encode(call.arguments).decode())
        for number, call in enumerate(line.calls)
    )
    blocks = (*((Text(line.text),) if line.text else ()), *calls)
    output = (len(line.text) + sum(len(call.tool) + len(call.arguments) for call in calls)) // 4 + 8
    message = Message("assistant", blocks)
    return Turn(message, StopReason.TOOLS if calls else StopReason.END, _usage(request, output))


def _usage(request: Request, output: int) -> Usage:
    """Usage at four characters per token; everything sent with the previous turn counts as cached."""
    fixed = len(request.system) + sum(len(tool.name) + len(tool.description) + 200 for tool in request.tools)
    sizes = [_size(message) for message in request.messages]
    turns = [index for index, message in enumerate(request.messages) if message.role == "assistant"]
    cached = (fixed + sum(sizes[: turns[-1]])) // 4 if turns else 0
    return Usage(input=(fixed + sum(sizes)) // 4, cached=cached, output=output, usd=0.0)


def _size(message: Message) -> int:
    size = 0
    for block in message.blocks:
        if isinstance(block, Text | ToolAnswer):
            size += len(block.text)
        elif isinstance(block, ToolCall):
            size += len(block.tool) + len(block.arguments)
    return size


def _digest(request: Request, seed: int) -> str:
    """A hash of the conversation's name, length, first and last message: different for every turn."""
    last = msgspec.json.encode(request.messages[-1]) if request.messages else b""
    first = msgspec.json.encode(request.messages[0]) if request.messages else b""
    known = f"{seed}/{request.conversation}/{len(request.messages)}/".encode()
    return hashlib.sha256(known + first + last).hexdigest()


def _draws(request: Request, seed: int) -> float:
    """A number in [0, 1) derived from the request and the seed."""
    return int(_digest(request, seed)[12:24], 16) / 16**12


def _load(options: dict[str, str], seed: int) -> Load:
    numbers = {name: _number(text, name) for name, text in options.items()}
    known = {"planners", "agents", "tasks", "conflicts", "shell", "drafts"}
    if unknown := sorted(set(numbers) - known):
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"the rehearsal `load` has no option `{unknown[0]}`",
            f"options: {', '.join(sorted(known))}",
        )
    agents = int(numbers.get("agents", 0))
    planners = int(numbers.get("planners", max(1, agents // 12) if agents else 3))
    return Load(
        planners=max(0, planners),
        tasks=max(1, int(numbers.get("tasks", 24))),
        conflicts=min(1.0, max(0.0, numbers.get("conflicts", 0.1))),
        shell=bool(numbers.get("shell", 1)),
        seed=seed,
        drafts=int(numbers.get("drafts", 0)),
    )


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise SwarmError(ErrorKind.PROVIDER, f"invalid rehearsal option {name}={text}", "write a number, 0 or more")
    return number

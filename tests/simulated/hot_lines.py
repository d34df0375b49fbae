"""Swarms that all append to the same line: scripted workers and resolvers, and what a run of them cost.

A task is hot (it appends a line to LIST), warm (it changes a line of its own in LIST) or cold (it writes a file of its
own). A worker needs two model calls to hand
off, and three more for a conflict: it looks, resolves and hands off again.
"""

from collections import Counter
from dataclasses import dataclass

from msgspec import json

from engine.domain import events as e
from engine.domain.conversation import Request, ToolCall, Turn
from engine.domain.types import ModelName, TaskState
from engine.orchestrator.swarm import Swarm
from tests.simulated.models import Script, answers, call, first_line, interrupted, turn
from tests.simulated.workspaces import MemoryWorkspace
from tests.simulated.world import World

LIST = "LIST.md"
FILES = {"README.md": b"# A project\n", LIST: b"# List\n\n- first\n"}
LONG = {**FILES, LIST: b"".join(b"# Part %d\n\n- item %d\n" % (at, at) for at in range(40))}
"""With lines for warm tasks."""


@dataclass(frozen=True)
class Cost:
    """What a swarm made of its tasks. `resolving` are model calls that dealt with a conflict."""

    landed: int
    failed: int
    conflicts: int
    resolving: int
    calls: int
    tokens: int
    seconds: float
    cold_seconds: float
    """When the last cold task landed."""


def shell(workspace: MemoryWorkspace, command: str) -> str:
    """`append TEXT` adds a line to LIST once, `resolve` keeps the lines of both sides, `make NAME` writes a file.

    `change N` changes the line of the warm task N.
    """
    verb, _, text = command.partition(" ")
    if verb == "append" and f"- {text}\n".encode() not in workspace.files[LIST]:
        workspace.files[LIST] += f"- {text}\n".encode()
    elif verb == "change":
        number = text.split()[-1].encode()
        workspace.files[LIST] = workspace.files[LIST].replace(b"- item %s\n" % number, b"- item %s, done\n" % number)
    elif verb == "make":
        workspace.files[text] = b"made\n"
    elif verb == "resolve":
        workspace.files[LIST] = without_markers(workspace.files[LIST])
    return "ok"


def without_markers(data: bytes) -> bytes:
    """A file with both sides of its conflicts."""
    lines = data.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((b"<<<", b"===", b">>>")))


def plan(titles: list[str]) -> Script:
    """The models of a run whose planner spawns one task for each title, such as `hot 1` or `cold 1`."""

    def planner(request: Request) -> Turn:
        if not any(message.role == "assistant" for message in request.messages):
            asked = [{"title": title, "goal": title} for title in titles]
            return turn(*(call("spawn_tasks", tasks=asked[at : at + 40]) for at in range(0, len(asked), 40)))
        handed = sum(message.text.count("# Handoff: ") for message in request.messages if message.role == "user")
        return turn(call("wait")) if handed < len(titles) else turn(_done())

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return planner(request)
        title = heading.partition(": ")[2]
        if again := interrupted(request):
            return turn(*(call(each.tool, **json.decode(each.arguments)) for each in again))
        last = (answers(request) or [""])[-1]
        if heading.startswith("# Conflict") and not answers(request):
            last = "conflict:"
        if last.startswith("conflict:"):
            return turn(call("shell", command="look"))
        previous = _last_command(request)
        if previous == "look":
            return turn(call("shell", command="resolve"))
        if not previous:
            kind = {"hot": "append", "warm": "change"}.get(title.split()[0], "make")
            return turn(call("shell", command=f"{kind} {title}"))
        return turn(_done())

    return script


def cost(swarm: Swarm, world: World) -> Cost:
    """Count what a finished run took."""
    asked = Counter(_kind(each.request) for each in world.models.asked)
    events = world.journal.surviving()
    cold = [event.at for event in events if isinstance(event.body, e.TaskEnded) and _is_cold(swarm, event)]
    return Cost(
        landed=swarm.snapshot.task_counts[TaskState.LANDED],
        failed=swarm.snapshot.task_counts[TaskState.FAILED],
        conflicts=sum(task.conflicts for task in swarm.snapshot.tasks.values()),
        resolving=asked["resolving"],
        calls=asked.total(),
        tokens=swarm.snapshot.tokens,
        seconds=world.clock.elapsed,
        cold_seconds=(max(cold, default=events[0].at) - events[0].at) / 1_000_000,
    )


def _is_cold(swarm: Swarm, event: e.Event) -> bool:
    return event.task is not None and swarm.snapshot.tasks[event.task].spec.title.startswith("cold")


def _kind(request: Request) -> str:
    if first_line(request).startswith("# Conflict"):
        return "resolving"
    told = any("conflict:" in block for message in request.messages for block in _texts(message.blocks))
    return "resolving" if told else "working"


def _texts(blocks: tuple[object, ...]) -> list[str]:
    return [text for block in blocks if (text := getattr(block, "text", ""))]


def _last_command(request: Request) -> str:
    commands = [
        found.arguments
        for message in request.messages
        for found in message.calls
        if message.role == "assistant" and found.tool == "shell"
    ]
    last = commands[-1] if commands else ""
    return "look" if '"look"' in last else last


def _done() -> ToolCall:
    return call("submit_handoff", status="done", summary="it is done")

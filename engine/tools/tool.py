"""The contract of a tool: `Tool`, what it may use (`ToolContext`) and what it returns (`Answer`)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from engine.domain.events import Draft
from engine.domain.handoff_facts import SuiteRun
from engine.domain.notes import Note
from engine.domain.settings import Settings
from engine.domain.types import Agent, HandoffText, Task, TaskSpec
from engine.policy.pathologies import Symptom
from engine.ports.protocols import Clock, Ids, Output, Workspace
from engine.state.snapshot import Snapshot


class Answer(Struct, frozen=True):
    """The result of a tool call.

    `drafts` are recorded atomically with the answer. `paths` are the files the call changed in the workspace.
    `gate_wait_s` is the time spent at the build gate, in seconds; `build` marks a command that passes that gate.
    `tests` is the record of the tests that a command ran, or whether it may have tested something.
    `ends`: the agent has handed off. `sleeps`: the agent waits for its next message.
    `hopeless`: why the attempt should end; empty if it should continue.
    """

    text: str
    error: bool = False
    drafts: tuple[Draft, ...] = ()
    paths: tuple[str, ...] = ()
    gate_wait_s: float = 0.0
    build: bool = False
    tests: SuiteRun | bool | None = None
    ends: bool = False
    sleeps: bool = False
    hopeless: str = ""


class ToolContext(Protocol):
    """What a tool may do on behalf of the agent that calls it. `hand_off` is the only way to trunk."""

    snapshot: Snapshot
    settings: Settings
    clock: Clock
    ids: Ids
    sent_back: Sequence[str]
    """The arguments of the calls to hand off that were sent back since the agent began or last waited, as JSON."""

    @property
    def agent(self) -> Agent: ...

    def prompt(self, name: str, **values: object) -> str:
        """A prompt's text with its variables filled in."""

    async def workspace(self) -> Workspace:
        """The agent's copy, created on first use."""

    async def command(self, command: str, timeout_s: float) -> tuple[Output, float]:
        """Run a command in the copy, through the build gate if it builds. Returns the seconds waited there too."""

    async def changed(self) -> frozenset[str]:
        """Paths that differ from the start of the copy; none for a planner, whose changes cannot land."""

    async def left_out(self, written: str = "") -> str:
        """What in the copy cannot land and the agent has not been told yet; always if it is the file just `written`.

        Empty for a planner.
        """

    async def spoiled(self) -> tuple[str, ...]:
        """Paths that a planner's last command changed in its throwaway copy; none for other roles."""

    @property
    def answers_awaited(self) -> bool:
        """Whether a person is there to answer questions."""

    def asks(self, note: Note) -> tuple[Draft, ...]:
        """The events that bring a subplanner's question to its planner."""

    def left_open(self) -> tuple[Draft, ...]:
        """The events that leave to subplanners what they asked this planner and it has not answered."""

    def passed_on(self, child: Agent, goal: str, scope: str, message: str) -> tuple[Draft, ...]:
        """The events that change a subplanner's slice and tell it so; an empty `goal` or `scope` stays as it is.

        The message answers what the subplanner has asked; without `goal` and `scope` it is only that.
        """

    def amended(self, task: Task, spec: TaskSpec) -> tuple[Draft, ...]:
        """The events that change a task and tell the worker that is at it, if there is one, what has changed."""

    def cancelled(self, child: Agent, reason: str) -> tuple[Draft, ...]:
        """The events that cancel a subplanner and everything below it, under the planner's intent version."""

    async def own_tasks(self, *names: str) -> list[Task]:
        """The planner's tasks, oldest first: all in memory, and of the others those with these ids or titles."""

    async def update(self) -> Answer:
        """Bring the copy to the newest trunk, or say why that is not done."""

    async def hand_off(self, text: HandoffText) -> Answer:
        """End the agent's work, or say why it cannot end yet."""


class Tool(Struct, frozen=True):
    """A tool. `arguments` is the Struct type that `call` takes: each field has a description, which models read.

    A WorkspaceError raised by `call` is returned to the agent. `writes`: the tool may change something, so it runs
    alone. `atomic`: the drafts of its answer are its only effect, so a call without a recorded answer has changed
    nothing and may run again. Of other writing calls only `repeatable` ones may: they finish what they had begun.
    `last`: the tool runs after all other calls of its turn. `target` returns the short text that the screen shows
    beside the tool's name. `limits` returns the arguments whose default and maximum come from the settings, with that
    value.
    """

    name: str
    arguments: type[Struct]
    call: Callable[[ToolContext, Any], Awaitable[Answer]]
    writes: bool = False
    atomic: bool = False
    repeatable: bool = False
    last: bool = False
    target: Callable[[Any], str] = lambda _: ""
    limits: Callable[[Settings], dict[str, float]] = lambda _: {}


def faulted(finding: Symptom, message: str) -> Answer:
    """An error answer to a pathology; past the limit, it ends the attempt."""
    hopeless = f"{finding.pathology.replace('_', ' ')}: {finding.detail}" if finding.limited else ""
    return Answer(message, error=True, drafts=(finding.draft,), hopeless=hopeless)


def refused(message: str) -> Answer:
    """An error answer: the agent reads it and continues."""
    return Answer(message, error=True)

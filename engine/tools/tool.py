"""What a tool is, what it may use (`Desk`) and what it answers."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct

from engine.domain.events import Draft
from engine.domain.settings import Settings
from engine.domain.types import Agent, HandoffText
from engine.policy.pathologies import Finding
from engine.ports.protocols import Clock, Ids, Output, Workspace
from engine.state.snapshot import Snapshot


class Answer(Struct, frozen=True):
    """What a tool call came to.

    `drafts` are recorded atomically with the answer. `paths` names what the call changed in the workspace,
    `gate_wait_s` is in seconds. `build`: it was a command that passes the build gate. `ends`: the agent has handed off.
    `sleeps`: it goes on with its next message.
    `hopeless`: why going on like this is of no use, if it is not.
    """

    text: str
    error: bool = False
    drafts: tuple[Draft, ...] = ()
    paths: tuple[str, ...] = ()
    gate_wait_s: float = 0.0
    build: bool = False
    ends: bool = False
    sleeps: bool = False
    hopeless: str = ""


class Desk(Protocol):
    """What a tool may do on behalf of the agent that calls it. There is no way from here to trunk but `hand_off`."""

    snapshot: Snapshot
    settings: Settings
    clock: Clock
    ids: Ids

    @property
    def agent(self) -> Agent: ...

    async def workspace(self) -> Workspace:
        """The agent's own copy, made at its first use."""
        ...

    async def command(self, command: str, timeout_s: float) -> tuple[Output, float]:
        """Run a command in the copy, through the build gate if it builds; with the seconds waited there."""
        ...

    async def changed(self) -> frozenset[str]:
        """Paths of the copy that differ from where it started, if what the agent changes can land."""
        ...

    async def spoiled(self) -> tuple[str, ...]:
        """Paths that a planner's last command changed in its throw-away copy; none for others."""
        ...

    def passed_on(self, child: Agent, goal: str, scope: str, message: str) -> tuple[Draft, ...]:
        """The events by which a subplanner hears of a change of its slice; empty parts stay as they are."""
        ...

    def cancelled(self, child: Agent, reason: str) -> tuple[Draft, ...]:
        """The events that end a subplanner with all below it, by the version of the intent that its planner knows."""
        ...

    async def hand_off(self, text: HandoffText) -> Answer:
        """End the agent's work, or say why it cannot end yet."""
        ...


class Tool(Struct, frozen=True):
    """A tool. `arguments` is a Struct type, `call` runs it with one of those.

    A WorkspaceError that `call` raises is for the agent to read. `writes`: it may change something, so it runs alone.
    `atomic`: all it changes are the drafts of its answer, so a call whose answer is not on record has changed
    nothing and may be run again; other writing calls may not. `last`: of several calls in one turn it runs after
    all others. `target` gives the short text that the screen shows beside the tool's name.
    """

    name: str
    arguments: type[Struct]
    call: Callable[[Desk, Any], Awaitable[Answer]]
    writes: bool = False
    atomic: bool = False
    last: bool = False
    target: Callable[[Any], str] = lambda _: ""


def faulted(finding: Finding, message: str) -> Answer:
    """An error answer to a move that is a pathology; beyond its limit the agent does not go on."""
    hopeless = f"{finding.pathology.replace('_', ' ')}: {finding.detail}" if finding.limited else ""
    return Answer(message, error=True, drafts=(finding.draft,), hopeless=hopeless)


def refused(message: str) -> Answer:
    """An error answer: the agent reads it and goes on."""
    return Answer(message, error=True)

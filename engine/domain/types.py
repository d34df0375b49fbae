"""Frozen values of the swarm: ids, states, and what flows between people, planners and workers."""

from enum import StrEnum
from typing import NewType

from msgspec import Struct, field

RunId = NewType("RunId", str)
AgentId = NewType("AgentId", str)
AgentPath = NewType("AgentPath", str)
TaskId = NewType("TaskId", str)
HandoffId = NewType("HandoffId", str)
LandingId = NewType("LandingId", str)
MessageId = NewType("MessageId", str)
CallId = NewType("CallId", str)
CommitId = NewType("CommitId", str)
ModelName = NewType("ModelName", str)
"""`PROVIDER:NAME`, for example `anthropic:claude-sonnet-5-5`."""
Micros = int
"""A moment in UTC, or a span, in integer microseconds."""
HOUR: Micros = 3_600_000_000

ROOT = AgentPath("root")


class Role(StrEnum):
    """What an agent is in the tree; each has a prompt file that names its tools."""

    PLANNER = "planner"
    WORKER = "worker"
    RESOLVER = "resolver"
    RECONCILER = "reconciler"


class RunState(StrEnum):
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class AgentState(StrEnum):
    STARTING = "starting"
    THINKING = "thinking"
    ACTING = "acting"
    WAITING = "waiting"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskState(StrEnum):
    QUEUED = "queued"
    WORKING = "working"
    LANDING = "landing"
    LANDED = "landed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskKind(StrEnum):
    WORK = "work"  # asked for by a planner
    FIXUP = "fixup"  # asked for by the reconciler when trunk fails its check


class LandingState(StrEnum):
    MERGED = "merged"  # clean and model-free
    RESOLVED = "resolved"  # clean after a conflict was resolved
    CONFLICTED = "conflicted"  # handed back
    EMPTY = "empty"  # nothing to land
    REFUSED = "refused"


class HandoffStatus(StrEnum):
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"


class MessageSource(StrEnum):
    """Who put a message into an agent's inbox."""

    INTENT = "intent"
    HANDOFF = "handoff"
    STEER = "steer"
    CHECK = "check"
    REMINDER = "reminder"
    NUDGE = "nudge"
    SYSTEM = "system"


class Pathology(StrEnum):
    """What goes wrong with an agent as an agent, not as a program."""

    SLEEPS = "sleeps_with_work_open"  # waits with no task, subplanner or message outstanding
    DOES_THE_WORK = "does_the_work_itself"  # a planner that changes files
    ONE_AT_A_TIME = "spawns_one_at_a_time"  # one task where many are needed
    CLAIMS_COMPLETION = "claims_completion"  # with tasks outstanding or a failing check
    NEVER_MERGES = "never_merges"  # one task after the other that lands nothing
    SPAWNS_WITHOUT_END = "spawns_without_end"  # too deep, too many, too fast
    LEAVES_SCOPE = "leaves_scope"  # a worker whose change lies outside its task
    PILES_UP = "piles_up"  # many agents at the same failure


class Remedy(StrEnum):
    """What follows from a pathology."""

    NUDGE = "nudge"  # the agent is told
    LIMIT = "limit"  # it cannot go on like that
    TOLD = "told"  # a planner that can decide is told


class ToolCallState(StrEnum):
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class Usage(Struct, frozen=True):
    """Tokens and money of model calls. `input` includes `cached`, read from the provider's cache, and `written`, stored
    in it; `usd` is None when a price is unknown.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    usd: float | None = 0.0
    written: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.output + other.output,
            usd,
            self.written + other.written,
        )


class Intent(Struct, frozen=True):
    """One version of what the person wants. Versions count from 1."""

    version: int
    at: Micros
    author: str
    text: str


class TaskSpec(Struct, frozen=True):
    """What a planner asks of a worker. `scope`: globs, separated by commas or white space; empty means anywhere.

    Higher `priority` starts first.
    """

    title: str
    goal: str
    scope: str = ""
    acceptance: str = ""
    priority: int = 0


class Task(Struct, frozen=True):
    """A task and where it stands.

    `attempt` counts the attempts started; `failures` those that ended by their own fault, `losses` those that
    ended with their agent or the whole program. `intent` is the version it came from, `cancelled_under` the one
    that its planner knew when it took it back (0: it did not). `unwanted`: why it was taken back while it landed.
    """

    id: TaskId
    spec: TaskSpec
    planner: AgentId
    intent: int
    kind: TaskKind = TaskKind.WORK
    state: TaskState = TaskState.QUEUED
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    agent: AgentId | None = None
    reason: str = ""
    queued_at: Micros = 0
    not_before: Micros = 0
    ended_at: Micros | None = None
    conflicts: int = 0
    commit: CommitId | None = None
    cancelled_under: int = 0
    unwanted: str = ""

    @property
    def ended(self) -> bool:
        return self.state in (TaskState.LANDED, TaskState.FAILED, TaskState.CANCELLED)

    @property
    def role(self) -> Role:
        """The role of the agents that attempt the task."""
        return Role.RECONCILER if self.kind is TaskKind.FIXUP else Role.WORKER


class Agent(Struct, frozen=True):
    """An agent and what it is doing now.

    `doing` is one short line (a tool and its target, or what it waits for). `paused` is set on the root of a
    paused subtree only, and so is `frozen`: the commands below stand still, too. `tokens_in_context` is what the last
    model call reported as input.
    """

    id: AgentId
    path: AgentPath
    parent: AgentId | None
    role: Role
    model: ModelName
    title: str
    goal: str = ""
    scope: str = ""
    task: TaskId | None = None
    attempt: int = 0
    state: AgentState = AgentState.STARTING
    doing: str = ""
    paused: bool = False
    frozen: bool = False
    priority: int = 0
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    tokens_in_context: int = 0
    intent: int = 0
    epoch: int = 0
    spawned_at: Micros = 0
    stepped_at: Micros = 0
    ended_at: Micros | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.state in (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED)


class HandoffText(Struct, frozen=True):
    """What an agent says when it hands off."""

    status: HandoffStatus
    summary: str
    notes: str = ""
    concerns: str = ""
    deviations: str = ""
    findings: str = ""
    feedback: str = ""


class Handoff(Struct, frozen=True):
    """The one message in which an agent reports up the tree. `to_agent` is None for the root's own.

    `by_engine` marks a handoff that the engine wrote for an agent that could not.
    """

    id: HandoffId
    at: Micros
    task: TaskId | None
    agent: AgentId
    to_agent: AgentId | None
    text: HandoffText
    landing: LandingState | None = None
    commit: CommitId | None = None
    intent: int = 0
    by_engine: bool = False


class Landing(Struct, frozen=True):
    """One try to bring a worker's change onto trunk. `base` is the tip that it was merged on.

    `large`: the bytes of those files among `paths` that are large (engine.domain.collisions).
    """

    id: LandingId
    at: Micros
    task: TaskId
    agent: AgentId
    state: LandingState
    base: CommitId
    commit: CommitId | None = None
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    reason: str = ""
    large: dict[str, int] = {}


class InboxMessage(Struct, frozen=True):
    """A message that waits for an agent's next model call. `handoff` names the handoff it carries, `intent` the version
    of the intent that it brings (0: none).
    """

    id: MessageId
    at: Micros
    to_agent: AgentId
    source: MessageSource
    text: str
    handoff: HandoffId | None = None
    intent: int = 0


class Scratchpad(Struct, frozen=True):
    """An agent's own notes, replaced as a whole. Versions count from 1."""

    agent: AgentId
    version: int
    at: Micros
    text: str


class CheckPurpose(StrEnum):
    """Why the check ran; the error rate is the share of failed snapshots."""

    SNAPSHOT = "snapshot"  # how trunk stands
    BISECT = "bisect"  # which landing broke it


class Check(Struct, frozen=True):
    """One run of the project's check on a trunk commit. `exit` is None when it timed out; `wall_s` in seconds.

    `failing` counts the failed tests where the runner is pytest and said so, else it is None; `failed_tests` names
    the first of them.
    """

    at: Micros
    commit: CommitId
    passed: bool
    exit: int | None
    output: str
    wall_s: float
    purpose: CheckPurpose = CheckPurpose.SNAPSHOT
    failing: int | None = None
    failed_tests: tuple[str, ...] = ()


class CheckMark(Struct, frozen=True):
    """A snapshot of trunk in short: what the error rate over time is made of."""

    at: Micros
    commit: CommitId
    passed: bool
    exit: int | None
    failing: int | None = None


class Break(Struct, frozen=True):
    """Where trunk broke: `tip` fails, and of `suspects` (oldest first) one is the landing that broke it.

    There is one suspect when the search came to its end within its `checks`. `tasks` are those that landed them.
    """

    at: Micros
    tip: CommitId
    suspects: tuple[CommitId, ...]
    tasks: tuple[TaskId, ...]
    checks: int

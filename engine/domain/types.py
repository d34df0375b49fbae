"""The values of the swarm: ids, states, and what passes between people, planners and workers."""

from enum import StrEnum
from typing import NewType

from msgspec import Struct, field
from msgspec.structs import force_setattr

from engine.domain.handoff_facts import Facts, Finding

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
"""A time in UTC or a duration, in whole microseconds."""
HOUR: Micros = 3_600_000_000

ROOT = AgentPath("root")


class Role(StrEnum):
    """What an agent does. Each role has a prompt file, which also names its tools."""

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
    HELD = "held"  # queued, but a task that it comes after failed or was cancelled: its planner decides
    WORKING = "working"
    LANDING = "landing"
    LANDED = "landed"
    UNCHANGED = "unchanged"  # handed off, but nothing of it was new to trunk: no commit
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskKind(StrEnum):
    WORK = "work"  # created by a planner
    FIXUP = "fixup"  # created by the reconciler when trunk fails the check


class LandingState(StrEnum):
    MERGED = "merged"  # without a conflict, and so without a model
    RESOLVED = "resolved"  # after an agent resolved a conflict
    CONFLICTED = "conflicted"  # returned to the agent to resolve
    EMPTY = "empty"  # there was no change
    REFUSED = "refused"


class HandoffStatus(StrEnum):
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"  # only the engine says so


class MessageSource(StrEnum):
    """Where a message in an agent's inbox came from."""

    INTENT = "intent"
    HANDOFF = "handoff"
    STEER = "steer"
    QUESTION = "question"
    ANSWER = "answer"
    CHECK = "check"
    REMINDER = "reminder"
    NUDGE = "nudge"
    SYSTEM = "system"


class Pathology(StrEnum):
    """Unproductive behaviour of an agent that is no failure of a program."""

    SLEEPS = "sleeps_with_work_open"  # waits although no task, subplanner or message is outstanding
    DOES_THE_WORK = "does_the_work_itself"  # a planner that changes files
    ONE_AT_A_TIME = "spawns_one_at_a_time"  # a planner that creates single tasks instead of many in parallel
    CLAIMS_COMPLETION = "claims_completion"  # says done while tasks are outstanding or the check fails
    NEVER_MERGES = "never_merges"  # a planner whose tasks land nothing, one after the other
    SPAWNS_WITHOUT_END = "spawns_without_end"  # too deep, too many or too fast
    LEAVES_SCOPE = "leaves_scope"  # a worker that edits files outside the scope of its task
    PILES_UP = "piles_up"  # many agents meet the same failure


class Remedy(StrEnum):
    """What the engine does about a pathology."""

    NUDGE = "nudge"  # tell the agent
    LIMIT = "limit"  # prevent it
    TOLD = "told"  # tell a planner that can decide


class ToolCallState(StrEnum):
    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class Usage(Struct, frozen=True):
    """Tokens and cost of model calls.

    `input` includes `cached`, read from the provider's cache, and `written`, stored there. `usd` is None if a price is
    unknown.
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
    """One version of what the person wants, numbered from 1."""

    version: int
    at: Micros
    author: str
    text: str


class TaskSpec(Struct, frozen=True):
    """What a planner asks of a worker.

    `scope` is globs that the change should stay within, separated by commas or white space; empty means anywhere. Tasks
    of higher `priority` start first.
    The task starts once those in `after` have landed, or ended without a change.
    """

    title: str
    goal: str
    scope: str = ""
    acceptance: str = ""
    priority: int = 0
    after: tuple[TaskId, ...] = ()


class Task(Struct, frozen=True):
    """A task and its state.

    `attempt` counts the attempts that were started, `failures` those that failed by themselves, `losses` how often the
    agent or the program died during one. `intent` is the version for which the task was created,
    `cancelled_under` the one that its planner knew when it cancelled the task (0: not cancelled by its planner).
    `unwanted` is the reason if the task was cancelled while it was landing. `replaces` is the failed or cancelled task
    that it takes the place of. `amended` counts how often its planner changed it. `directions` are a person's words to
    its workers: they supersede goal and scope.
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
    replaces: TaskId | None = None
    directions: tuple[str, ...] = ()
    amended: int = 0

    @property
    def ended(self) -> bool:
        return self.state in (TaskState.LANDED, TaskState.UNCHANGED, TaskState.FAILED, TaskState.CANCELLED)

    @property
    def role(self) -> Role:
        """The role of the agents that attempt the task."""
        return Role.RECONCILER if self.kind is TaskKind.FIXUP else Role.WORKER


class Agent(Struct, frozen=True):
    """An agent and what it is doing.

    `doing` is one short line: a tool and its target, or what the agent waits for. `paused` and `frozen` are set only on
    the root of a paused subtree; `frozen` means that commands in it are suspended, too. `tokens_in_context` is the
    input of the last model call. `landings_seen`: how many of the run's landings a planner has been told of.
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
    landings_seen: int = 0
    epoch: int = 0
    spawned_at: Micros = 0
    stepped_at: Micros = 0
    ended_at: Micros | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.state in (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED)

    @property
    def gone(self) -> bool:
        """Whether it never acts again. A planner that is done does, when it gets a message."""
        return self.state in (AgentState.FAILED, AgentState.CANCELLED)


class HandoffText(Struct, frozen=True):
    """What an agent reports when it hands off.

    Findings that are one text, as in older journals, are read as one finding; see `found`.
    """

    status: HandoffStatus
    summary: str
    notes: str = ""
    concerns: str = ""
    deviations: str = ""
    findings: tuple[Finding, ...] | str = ""
    feedback: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.findings, str) and self.findings.strip():
            force_setattr(self, "findings", (Finding(self.findings),))

    @property
    def found(self) -> tuple[Finding, ...]:
        """The findings."""
        return self.findings if isinstance(self.findings, tuple) else ()

    @property
    def sections(self) -> dict[str, str]:
        """The sections after the summary that have text, by name; each finding with its evidence, if that was said."""
        texts = {name: str(getattr(self, name)) for name in ("notes", "concerns", "deviations")}
        texts |= {"findings": "\n".join(map(str, self.found)), "feedback": self.feedback}
        return {name: text for name, text in texts.items() if text.strip()}


class Handoff(Struct, frozen=True):
    """The one message in which an agent reports to its planner. `to_agent` is None for the root planner's handoff.

    `by_engine`: the engine wrote the handoff, because the agent could not. `facts` is None in older journals.
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
    facts: Facts | None = None

    @property
    def needs_person(self) -> bool:
        """Whether a person should read it: it failed, has concerns, or claims what the record does not support."""
        doubted = self.facts is not None and bool(self.facts.doubts)
        return self.text.status is HandoffStatus.FAILED or bool(self.text.concerns.strip()) or doubted


class Claim(Struct, frozen=True):
    """A task's place in the queue for paths in conflict.

    The task has precedence from `since` to `until`; while `until` is 0, its landing waits. `merged` is the commit with
    the conflict that it resolves. `whole`: nothing else lands in its files, not even in other lines.
    """

    task: TaskId
    agent: AgentId
    paths: tuple[str, ...] = ()
    since: Micros = 0
    until: Micros = 0
    merged: CommitId | None = None
    whole: bool = False


class Landing(Struct, frozen=True):
    """One try to land a worker's change on trunk. `base` is the tip of trunk that it was merged with.

    `large`: the sizes in bytes of those files in `paths` that are large (see engine.domain.collisions). `added` and
    `removed` are the commit's lines; None if there is no commit, or they were not counted. `since` is the commit of
    trunk that the change was made on; None in journals that do not say so. `dependencies` are those that it adds, each
    with its manifest.
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
    added: int | None = None
    removed: int | None = None
    since: CommitId | None = None
    dependencies: tuple[str, ...] = ()

    @property
    def onto_newer(self) -> bool:
        """Whether trunk had moved on since the change began."""
        return self.since not in (None, self.base)


class InboxMessage(Struct, frozen=True):
    """A message that an agent gets with its next model call.

    `handoff` is the handoff that it contains, `intent` the version of the intent that it contains (0: none), `notes`
    are the numbers of the notes that it asks or answers.
    """

    id: MessageId
    at: Micros
    to_agent: AgentId
    source: MessageSource
    text: str
    handoff: HandoffId | None = None
    intent: int = 0
    notes: tuple[int, ...] = ()


class Scratchpad(Struct, frozen=True):
    """An agent's own notes. The agent always replaces all of them; versions are numbered from 1."""

    agent: AgentId
    version: int
    at: Micros
    text: str


class CheckPurpose(StrEnum):
    """Why the check ran. The error rate is the share of `SNAPSHOT` checks that failed."""

    SNAPSHOT = "snapshot"  # to see whether trunk passes
    BISECT = "bisect"  # to find the landing that broke trunk


class Check(Struct, frozen=True):
    """One run of the project's check on a commit of trunk. `exit` is None if it timed out.

    `failing` is the number of failed tests if pytest printed it, else None; `failed_tests` are the names of the first.
    `clean`: the check ran from nothing, in a new checkout of the commit; otherwise on what earlier checks have built.
    `overrules`: it ran from nothing and a check of the same commit on earlier builds had come out otherwise, so all
    kept builds were discarded. `command` is the check that ran; empty in journals that do not say so.
    `setup` is the setup command if that failed, so that the check did not run: then `exit` and `output` are its own.
    `wall_s` counts the setup command too, `cpu_s` only the check itself: its CPU time, None if that is not known.
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
    clean: bool = False
    overrules: bool = False
    command: str = ""
    setup: str = ""
    cpu_s: float | None = None

    @property
    def outcome(self) -> str:
        """How a check that did not pass ended, in one line."""
        what = f"the setup command `{self.setup}`" if self.setup else f"`{self.command}`"
        if self.exit is None:
            return f"{what} did not finish"
        failing = f" (failing tests: {self.failing})" if self.failing else ""
        return f"{what} exited with status {self.exit}{failing}"


class BaseSurvey(Struct, frozen=True):
    """What was found before the first model call: whether the commit that the run starts from passes the check from
    nothing.

    `advice` says what a person can do about a failure. `kept`: an earlier run found it, on the same commit with the
    same settings.
    """

    check: Check
    advice: tuple[str, ...] = ()
    kept: bool = False


class CheckMark(Struct, frozen=True):
    """The result of a `SNAPSHOT` check, in short, for the error rate over time."""

    at: Micros
    commit: CommitId
    passed: bool
    exit: int | None
    failing: int | None = None


class Break(Struct, frozen=True):
    """The search for the landing that broke trunk: `tip` fails, and one of `suspects` (oldest first) broke it.

    One suspect is left if `checks` runs of the check were enough. `tasks` are the tasks that landed the suspects.
    """

    at: Micros
    tip: CommitId
    suspects: tuple[CommitId, ...]
    tasks: tuple[TaskId, ...]
    checks: int

"""Rows that the journal's reader returns, as frozen values."""

from msgspec import Struct

from engine.domain.events import Event
from engine.domain.resource_use import Sample
from engine.domain.types import AgentId, CallId, Check, CommitId, Micros, ModelName, RunId, RunState, TaskId, TaskKind


class CallRow(Struct, frozen=True):
    """A tool call in a model's turn; `arguments` holds the first 500 characters."""

    id: str
    tool: str
    arguments: str


class MessageRow(Struct, frozen=True):
    """One message of a conversation. Page by `id`; `role` is user, assistant or tool.

    `source` is the origin (opening, intent, handoff, steer, system, ..., model, tool, summary; several are joined by
    `+`), `state` how an assistant's turn or a tool call ended. `size` is the whole text's, in bytes.
    """

    id: int
    seq: int
    at: Micros
    agent: AgentId
    role: str
    source: str
    text: str
    size: int
    whole: bool
    tool: str | None = None
    call: CallId | None = None
    state: str | None = None
    calls: tuple[CallRow, ...] = ()


class ToolCallRow(Struct, frozen=True):
    """One tool call. Page by `seq`. `answer` is None while it runs; sizes are in bytes, times in seconds."""

    seq: int
    id: CallId
    agent: AgentId
    task: TaskId | None
    tool: str
    state: str
    target: str
    writes: bool | None
    arguments: str
    arguments_size: int
    answer: str | None
    answer_size: int | None
    paths: tuple[str, ...]
    started: Micros
    ended: Micros | None
    wall_s: float | None
    gate_wait_s: float | None


class SampleRow(Struct, frozen=True):
    seq: int
    at: Micros
    sample: Sample


class CheckRow(Struct, frozen=True):
    """One check of trunk; `moved` is when green moved to its commit."""

    seq: int
    check: Check
    moved: Micros | None


class IntentRow(Struct, frozen=True):
    """A version of the intent: how many tasks it led to and their outcomes, how many older tasks it cancelled (`moot`),
    and how many planners follow it now.
    """

    version: int
    at: Micros
    author: str
    text: str
    tasks: int
    landed: int
    failed: int
    cancelled: int
    open: int
    moot: int
    planners: int


class ErrorRateRow(Struct, frozen=True):
    """A span of time from `at` on: checks of trunk, how many failed, and the most failing tests in one of them (None if
    the test runner does not report a number).
    """

    at: Micros
    snapshots: int
    failed: int
    failing: int | None

    @property
    def rate(self) -> float:
        return self.failed / self.snapshots


class TaskRow(Struct, frozen=True):
    """A task's row."""

    id: TaskId
    title: str
    goal: str
    scope: str
    acceptance: str
    priority: int
    kind: TaskKind
    planner: AgentId
    state: str
    attempt: int
    failures: int
    losses: int
    conflicts: int
    intent: int
    agent: AgentId | None
    commit: CommitId | None
    reason: str
    queued: Micros
    started: Micros | None
    ended: Micros | None


class Followed(Struct, frozen=True):
    """What a handoff led to: the planner's turn that it fed, and the tasks that this turn spawned.

    `answer` is None until the planner has read the handoff, and for the root's own handoff.
    """

    answer: MessageRow | None = None
    tasks: tuple[TaskRow, ...] = ()


class EventPage(Struct, frozen=True):
    """A page of events, newest first, or oldest first if the query had `after`.

    `searched` is the last sequence number that was examined: continue from there while `more`.
    """

    events: tuple[Event, ...]
    searched: int
    more: bool


class RunRow(Struct, frozen=True):
    """The run's row, read without a fold. `usd` is None if a price is unknown.

    `last_at` is the time of its newest event, `worked` the microseconds of work before the current epoch.
    """

    id: RunId
    repo: str
    branch: str
    base: CommitId
    check_command: str
    models: dict[str, ModelName]
    version: str
    state: RunState
    reason: str
    exit_status: int | None
    epoch: int
    pid: int | None
    sandbox_level: str
    copy_method: str
    trunk: CommitId
    green: CommitId | None
    agents: int
    landed: int
    failed: int
    cancelled: int
    handoffs: int
    model_calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    usd: float | None
    created: Micros
    ended: Micros | None
    worked: Micros
    intent: str
    last_seq: int
    last_at: Micros

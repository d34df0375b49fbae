"""What the journal's reader answers with: frozen values, one for each kind of row that a screen shows."""

from msgspec import Struct

from engine.domain.events import Event
from engine.domain.types import (
    AgentId,
    CallId,
    Check,
    CommitId,
    Micros,
    ModelName,
    RunId,
    RunState,
    Sample,
    TaskId,
    TaskKind,
)


class CallRow(Struct, frozen=True):
    """A tool that a model asked for; `arguments` is the beginning of what it wrote."""

    id: str
    tool: str
    arguments: str


class MessageRow(Struct, frozen=True):
    """One message of a conversation. `id` pages; `role` is user, assistant or tool.

    `source` says who spoke (opening, intent, handoff, steer, system, ..., model, tool, summary; several joined by
    `+`), `state` how an assistant's turn stopped or a tool ended. `size` is of the whole text in bytes.
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
    """One tool call. `seq` pages. `answer` is None while it runs; sizes in bytes, waits in seconds."""

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
    """One check of trunk; `moved` is when green went there."""

    seq: int
    check: Check
    moved: Micros | None


class IntentRow(Struct, frozen=True):
    """A version of the intent: how many `tasks` it set off and what became of them, how many older ones it made `moot`,
    and how many planners plan by it now.
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
    """A stretch of time that begins `at`: snapshots of trunk, how many failed, the most failing tests in one of them
    (None where the runner does not count).
    """

    at: Micros
    snapshots: int
    failed: int
    failing: int | None

    @property
    def rate(self) -> float:
        return self.failed / self.snapshots


class TaskRow(Struct, frozen=True):
    """A task as the tables tell it."""

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
    """What a handoff led to: what its planner said in the turn that it fed, and the tasks that this turn asked for.

    `answer` is None until the planner has read it; whoever has no planner above gets none.
    """

    answer: MessageRow | None = None
    tasks: tuple[TaskRow, ...] = ()


class EventPage(Struct, frozen=True):
    """Events newest first, or oldest first when asked for those after one.

    `searched` is the last sequence number that was looked at: ask on from there while `more`.
    """

    events: tuple[Event, ...]
    searched: int
    more: bool


class RunRow(Struct, frozen=True):
    """The run as the journal's tables tell it, without a fold. `usd` is None when a price is unknown.

    `last_at` is when its newest event happened, `worked` microseconds up to the present epoch.
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

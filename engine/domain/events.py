"""Everything that can happen in a run. Events are the truth; all other state is a fold over them.

A body's tag is the event's `kind`, in the database as in code. Streamed text is no event.
"""

from msgspec import Struct

from engine.domain.conversation import Message, StopReason
from engine.domain.resource_use import AgentUse, LoadLimit, Sample
from engine.domain.spending import Mark, Part
from engine.domain.types import (
    Agent,
    AgentId,
    AgentState,
    Break,
    CallId,
    Check,
    CommitId,
    Handoff,
    HandoffId,
    HandoffText,
    InboxMessage,
    Intent,
    Landing,
    LandingId,
    MessageId,
    Micros,
    ModelName,
    Pathology,
    Remedy,
    Role,
    RunId,
    RunState,
    Task,
    TaskId,
    ToolCallState,
    Usage,
)


class EventBody(Struct, frozen=True, tag_field="kind"):
    """What all bodies share: `kind`, the tag."""


# --- the run -------------------------------------------------------------------------------------------------


class RunCreated(EventBody, frozen=True, tag="run_created"):
    """`repo` is an absolute path, `branch` the base branch (empty: detached), `settings` JSON text without keys."""

    run: RunId
    repo: str
    branch: str
    base: CommitId
    check: str
    models: dict[str, ModelName]
    settings: str
    version: str


class EpochStarted(EventBody, frozen=True, tag="epoch_started"):
    """A process took the run over. What an older epoch left running counts as lost from here on.

    `settings` are those in force from here on, as JSON text without keys; empty: as before. `not_guaranteed`:
    promises that the sandbox level does not keep; `granted`: `network`, and folders, that settings let commands reach.
    """

    pid: int
    sandbox_level: str
    copy_method: str
    settings: str = ""
    not_guaranteed: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()


class RunStateChanged(EventBody, frozen=True, tag="run_state_changed"):
    """`exit_status` is set when the run ended or stopped (INTERFACE: exit status)."""

    state: RunState
    reason: str = ""
    exit_status: int | None = None


class WorkersLimited(EventBody, frozen=True, tag="workers_limited"):
    """How many workers may run at once, and who or what says so (`settings`, `person`, `governor`)."""

    workers: int
    by: str
    reason: str = ""


class BudgetMarked(EventBody, frozen=True, tag="budget_marked"):
    """A part of the run came near a limit, reached it, or has room again; `limit` says which, in words."""

    part: Part
    mark: Mark
    limit: str


class Warned(EventBody, frozen=True, tag="warned"):
    """Something that a person should know and that stops nothing."""

    text: str


class LoadLimited(EventBody, frozen=True, tag="load_limited"):
    """The governor lets the machine carry more or less than before; `at` in the limit is left at 0."""

    limit: LoadLimit


class AgentsSampled(EventBody, frozen=True, tag="agents_sampled"):
    """What each agent uses at this moment; who is missing uses nothing."""

    uses: dict[AgentId, AgentUse]


class Sampled(EventBody, frozen=True, tag="sampled"):
    sample: Sample


# --- intent and messages -------------------------------------------------------------------------------------


class IntentVersioned(EventBody, frozen=True, tag="intent_versioned"):
    intent: Intent


class MessageQueued(EventBody, frozen=True, tag="message_queued"):
    message: InboxMessage


# --- agents --------------------------------------------------------------------------------------------------


class AgentSpawned(EventBody, frozen=True, tag="agent_spawned"):
    spawned: Agent


class AgentStateChanged(EventBody, frozen=True, tag="agent_state_changed"):
    """`doing` is one short line for the screen."""

    state: AgentState
    doing: str = ""
    reason: str = ""


class SubtreePaused(EventBody, frozen=True, tag="subtree_paused"):
    """`freeze`: the commands that run below stand still, too."""

    by: str = "person"
    freeze: bool = False


class SubtreeResumed(EventBody, frozen=True, tag="subtree_resumed"):
    by: str = "person"


class SubtreeLimited(EventBody, frozen=True, tag="subtree_limited"):
    """How many workers may be at work at once below a planner; None: as many as the run has."""

    workers: int | None
    by: str = "person"


class PriorityChanged(EventBody, frozen=True, tag="priority_changed"):
    """Added to the priority of every task below the agent."""

    priority: int


class ModelChanged(EventBody, frozen=True, tag="model_changed"):
    """Another model for an agent, and for what is spawned below it; without an agent, for a role of the whole run
    (None: for all roles)."""

    model: ModelName
    role: Role | None = None


class Rescoped(EventBody, frozen=True, tag="rescoped"):
    goal: str
    scope: str


class PathologySeen(EventBody, frozen=True, tag="pathology_seen"):
    """An agent does what agents must not. `times`: since its last good move. `detail`: what was seen."""

    pathology: Pathology
    times: int
    remedy: Remedy
    detail: str


class FailureNoted(EventBody, frozen=True, tag="failure_noted"):
    """An agent met a failure, in words without what differs from run to run: once for each agent and hour."""

    failure: str


class FailureShared(EventBody, frozen=True, tag="failure_shared"):
    """So many agents met the same failure within an hour that a planner is told of it."""

    failure: str
    agents: int


class ScratchpadRewritten(EventBody, frozen=True, tag="scratchpad_rewritten"):
    version: int
    text: str


class Pivoted(EventBody, frozen=True, tag="pivoted"):
    """An agent changes course, with its reason; recorded with the scratchpad in which it says what comes now."""

    reason: str
    version: int


class TurnTaken(EventBody, frozen=True, tag="turn_taken"):
    """One whole model call. `given` is the text that the agent was told since its last turn (None: only tool
    answers), `consumed` the inbox messages in it, `prompt` the role prompt's name and version. `intent`: the
    version that the agent knows from here on, where a message brought one (0: as before).
    """

    model: ModelName
    given: str | None
    consumed: tuple[MessageId, ...]
    message: Message
    stop: StopReason
    usage: Usage
    prompt: str
    wall_s: float
    intent: int = 0


class ModelCallRetried(EventBody, frozen=True, tag="model_call_retried"):
    """A call came to nothing and follows again. `usage`: of an answer that began and broke off."""

    model: ModelName
    reason: str
    wait_s: float
    usage: Usage = Usage()


class AnswersDropped(EventBody, frozen=True, tag="answers_dropped"):
    """Compaction, first step: all tool answers but the last `kept` lost their text."""

    kept: int


class ContextCompacted(EventBody, frozen=True, tag="context_compacted"):
    """Compaction, second step: the conversation starts again with `opening` as its first message."""

    opening: str
    usage: Usage


class ToolStarted(EventBody, frozen=True, tag="tool_started"):
    """The same call may start again after a restart of the program, when its answer was not on record."""

    call: CallId
    tool: str
    arguments: str
    writes: bool
    target: str = ""


class ToolFinished(EventBody, frozen=True, tag="tool_finished"):
    """`answer` is what the model gets; waits in seconds.

    `paths` are those that the call changed in the workspace: for a command, those that differ from the base since.
    `build`: it was a command that passes the build gate.
    """

    call: CallId
    tool: str
    state: ToolCallState
    answer: str
    paths: tuple[str, ...] = ()
    wall_s: float = 0.0
    gate_wait_s: float = 0.0
    build: bool = False


# --- tasks ---------------------------------------------------------------------------------------------------


class TaskQueued(EventBody, frozen=True, tag="task_queued"):
    queued: Task


class TaskStarted(EventBody, frozen=True, tag="task_started"):
    """An attempt began; `worker` has it."""

    worker: AgentId
    attempt: int


class TaskRequeued(EventBody, frozen=True, tag="task_requeued"):
    """An attempt ended without a handoff and another will follow, not before `not_before`.

    `lost`: the agent or the program died; otherwise the attempt failed by its own fault. `counts`: it is held
    against the task.
    """

    reason: str
    lost: bool
    not_before: Micros
    counts: bool = True


class TaskEnded(EventBody, frozen=True, tag="task_ended"):
    """`state` is landed, failed or cancelled. `intent`: the version that its planner knew when it took it back."""

    state: str
    reason: str = ""
    commit: CommitId | None = None
    intent: int = 0


class TaskUnwanted(EventBody, frozen=True, tag="task_unwanted"):
    """The task is taken back while its landing is under way: it ends cancelled unless the landing goes through.

    `intent`: as in TaskEnded.
    """

    reason: str
    intent: int = 0


class LandingStarted(EventBody, frozen=True, tag="landing_started"):
    """A worker's change is about to be merged. With `text`, a crash from here on can be repaired:
    if the task is found on trunk, this handoff is delivered.
    """

    landing: LandingId
    change: CommitId
    text: HandoffText


class LandingFinished(EventBody, frozen=True, tag="landing_finished"):
    landing: Landing


class HandedOff(EventBody, frozen=True, tag="handed_off"):
    handoff: Handoff


class HandoffResolved(EventBody, frozen=True, tag="handoff_resolved"):
    """A person has dealt with a handoff, or takes that back."""

    handoff: HandoffId
    resolved: bool = True


# --- green ---------------------------------------------------------------------------------------------------


class CheckFinished(EventBody, frozen=True, tag="check_finished"):
    check: Check


class BreakTraced(EventBody, frozen=True, tag="break_traced"):
    """The reconciler looked for the landing that broke the check; recorded about the planner that owns the fixup."""

    broken: Break


class FixupsExhausted(EventBody, frozen=True, tag="fixups_exhausted"):
    """So many fixups left trunk red: it is the planners' from here on, until `green` moves again."""

    tip: CommitId
    fixups: int


class GreenMoved(EventBody, frozen=True, tag="green_moved"):
    commit: CommitId


class Published(EventBody, frozen=True, tag="published"):
    """Trunk and green were written to the person's repo; `left_alone` says why a ref was not."""

    trunk: CommitId
    green: CommitId | None
    left_alone: str = ""


Body = (
    RunCreated
    | EpochStarted
    | RunStateChanged
    | WorkersLimited
    | BudgetMarked
    | Warned
    | Sampled
    | LoadLimited
    | AgentsSampled
    | IntentVersioned
    | MessageQueued
    | AgentSpawned
    | AgentStateChanged
    | SubtreePaused
    | SubtreeResumed
    | SubtreeLimited
    | PriorityChanged
    | ModelChanged
    | Rescoped
    | PathologySeen
    | FailureNoted
    | FailureShared
    | ScratchpadRewritten
    | Pivoted
    | TurnTaken
    | ModelCallRetried
    | AnswersDropped
    | ContextCompacted
    | ToolStarted
    | ToolFinished
    | TaskQueued
    | TaskStarted
    | TaskRequeued
    | TaskEnded
    | TaskUnwanted
    | LandingStarted
    | LandingFinished
    | HandedOff
    | HandoffResolved
    | CheckFinished
    | BreakTraced
    | FixupsExhausted
    | GreenMoved
    | Published
)


class Event(Struct, frozen=True):
    """A body and where it belongs. `agent` and `task` say whom it is about, `cause` is the seq it follows from."""

    seq: int
    at: Micros
    epoch: int
    body: Body
    agent: AgentId | None = None
    task: TaskId | None = None
    cause: int | None = None

    @property
    def kind(self) -> str:
        return str(self.body.__struct_config__.tag)


class Draft(Struct, frozen=True):
    """An event that is to be recorded: it has no place in the order yet."""

    body: Body
    agent: AgentId | None = None
    task: TaskId | None = None

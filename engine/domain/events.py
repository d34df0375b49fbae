"""Everything that can happen in a run. Events are the source of truth: all other state is folded from them.

The tag of a body is the event's `kind`, in the journal as in code. Text that a model streams is not an event.
"""

from msgspec import Struct
from msgspec.structs import force_setattr

from engine.domain import types as t
from engine.domain.conversation import Message, StopReason
from engine.domain.environment import Environment
from engine.domain.handoff_facts import SuiteRun
from engine.domain.notes import Note
from engine.domain.resource_use import AgentUse, LoadLimit, Sample
from engine.domain.spending import Mark, Part


class EventBody(Struct, frozen=True, tag_field="kind"):
    """The base of all bodies; `kind` is their tag."""


# --- the run -------------------------------------------------------------------------------------------------


class RunCreated(EventBody, frozen=True, tag="run_created"):
    """`repo` is an absolute path, `branch` the base branch (empty: detached), `settings` JSON text without API keys."""

    run: t.RunId
    repo: str
    branch: str
    base: t.CommitId
    check: str
    models: dict[str, t.ModelName]
    settings: str
    version: str


class EpochStarted(EventBody, frozen=True, tag="epoch_started"):
    """A process took over the run. It continues what earlier epochs left unfinished.

    `settings` apply from here on, as JSON text without API keys; empty: as before. `not_guaranteed` are the guarantees
    that the sandbox level does not give; `granted` is what the settings let commands reach: `network`, and folders;
    `tools` is what they can read because it lies on the user's PATH.
    """

    pid: int
    sandbox_level: str
    copy_method: str
    settings: str = ""
    not_guaranteed: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


class RunStateChanged(EventBody, frozen=True, tag="run_state_changed"):
    """`exit_status` is set once the run has ended or stopped (see engine.domain.errors.ExitStatus)."""

    state: t.RunState
    reason: str = ""
    exit_status: int | None = None


class WorkersLimited(EventBody, frozen=True, tag="workers_limited"):
    """How many workers may run at a time, and who set that: `settings`, `person` or `governor`."""

    workers: int
    by: str
    reason: str = ""


class BudgetMarked(EventBody, frozen=True, tag="budget_marked"):
    """The run, a role, a subtree or a task came near a limit, reached it, or is clear of it again.

    `limit` describes the limit, `limits` has all of the part: one that is reached stays so until they change.
    """

    part: Part
    mark: Mark
    limit: str
    limits: str = ""


class Warned(EventBody, frozen=True, tag="warned"):
    """Something that the person should know, although the run goes on."""

    text: str


class LoadLimited(EventBody, frozen=True, tag="load_limited"):
    """The governor changed its limit. The `at` in `limit` is always 0."""

    limit: LoadLimit


class AgentsSampled(EventBody, frozen=True, tag="agents_sampled"):
    """What each agent uses. Agents that are not listed use nothing.

    `arriving`: tokens of model calls under way, estimated from what has arrived; the turns replace them.
    """

    uses: dict[t.AgentId, AgentUse]
    arriving: dict[t.AgentId, int] = {}


class Sampled(EventBody, frozen=True, tag="sampled"):
    sample: Sample


# --- intent and messages -------------------------------------------------------------------------------------


class IntentVersioned(EventBody, frozen=True, tag="intent_versioned"):
    intent: t.Intent


class MessageQueued(EventBody, frozen=True, tag="message_queued"):
    message: t.InboxMessage


class NoteMade(EventBody, frozen=True, tag="note_made"):
    """A planner assumes something, or asks the person or the planner above it."""

    note: Note


class NoteAnswered(EventBody, frozen=True, tag="note_answered"):
    """`answer` is empty if the planner should do as it thinks. `by`: `person` or `planner`.

    `taken_back`: the person has withdrawn the answer, and the note is open again.
    """

    note: int
    answer: str = ""
    by: str = "person"
    taken_back: bool = False


class AnswersOverdue(EventBody, frozen=True, tag="answers_overdue"):
    """The agent no longer waits for answers to these questions, and decides by itself."""

    notes: tuple[int, ...]
    reason: str


# --- agents --------------------------------------------------------------------------------------------------


class AgentSpawned(EventBody, frozen=True, tag="agent_spawned"):
    spawned: t.Agent


class AgentStateChanged(EventBody, frozen=True, tag="agent_state_changed"):
    """`doing` is one short line for the screen."""

    state: t.AgentState
    doing: str = ""
    reason: str = ""


class SubtreePaused(EventBody, frozen=True, tag="subtree_paused"):
    """`freeze`: running commands in the subtree are suspended, too."""

    by: str = "person"
    freeze: bool = False


class SubtreeResumed(EventBody, frozen=True, tag="subtree_resumed"):
    by: str = "person"


class SubtreeLimited(EventBody, frozen=True, tag="subtree_limited"):
    """How many workers may run at a time below a planner; None: as many as the run allows."""

    workers: int | None
    by: str = "person"


class PriorityChanged(EventBody, frozen=True, tag="priority_changed"):
    """`priority` is added to that of every task below the agent."""

    priority: int


class ModelChanged(EventBody, frozen=True, tag="model_changed"):
    """Another model for an agent and for all agents that are spawned below it.

    Without an agent, the model is for a role in the whole run (None: for all roles).
    """

    model: t.ModelName
    role: t.Role | None = None


class Rescoped(EventBody, frozen=True, tag="rescoped"):
    """A subplanner owns something else, or is asked again. `by`: `person`; empty: its planner."""

    goal: str
    scope: str
    by: str = ""


class PathologySeen(EventBody, frozen=True, tag="pathology_seen"):
    """An agent shows a pathology. `times` counts since it last behaved well, `detail` says what was seen."""

    pathology: t.Pathology
    times: int
    remedy: t.Remedy
    detail: str


class FailureNoted(EventBody, frozen=True, tag="failure_noted"):
    """An agent met a failure, by its signature; recorded once per agent and hour."""

    failure: str


class FailureShared(EventBody, frozen=True, tag="failure_shared"):
    """So many agents met the same failure within an hour that a planner is told about it."""

    failure: str
    agents: int


class HotFilesTold(EventBody, frozen=True, tag="hot_files_told"):
    """A planner was told which of its new tasks meet in files with repeated conflicts: conflicts by file."""

    files: dict[str, int]


class ScratchpadRewritten(EventBody, frozen=True, tag="scratchpad_rewritten"):
    version: int
    text: str


class Pivoted(EventBody, frozen=True, tag="pivoted"):
    """An agent changed its plan. `version` is the scratchpad that contains the new plan."""

    reason: str
    version: int


class TurnTaken(EventBody, frozen=True, tag="turn_taken"):
    """One complete model call.

    `given` is the text that the agent got since its last turn (None: only tool answers), `consumed` the inbox messages
    in it, `prompt` the name and version of the role's prompt. `intent` is the version that a message brought, which the
    agent knows from here on (0: as before); `landings_seen` is the number of the run's landings that a planner has been
    told of (0: as before).
    """

    model: t.ModelName
    given: str | None
    consumed: tuple[t.MessageId, ...]
    message: Message
    stop: StopReason
    usage: t.Usage
    prompt: str
    wall_s: float
    intent: int = 0
    landings_seen: int = 0


class ModelCallRetried(EventBody, frozen=True, tag="model_call_retried"):
    """A model call failed and is repeated. `usage` is that of an answer that broke off.

    `lost`: the program died during the call. What it used is not known: `usage` is its worst case, and counts towards
    budgets only.
    """

    model: t.ModelName
    reason: str
    wait_s: float
    usage: t.Usage = t.Usage()
    lost: bool = False


class AnswersDropped(EventBody, frozen=True, tag="answers_dropped"):
    """Compaction, first step: all tool answers but the last `kept` were removed from the context."""

    kept: int


class ContextCompacted(EventBody, frozen=True, tag="context_compacted"):
    """Compaction, second step: the conversation restarts with `opening` as its first message."""

    opening: str
    usage: t.Usage


class ToolStarted(EventBody, frozen=True, tag="tool_started"):
    """A call may start again after the program restarted, if no answer was recorded."""

    call: t.CallId
    tool: str
    arguments: str
    writes: bool
    target: str = ""


class ToolFinished(EventBody, frozen=True, tag="tool_finished"):
    """`answer` is what the model gets.

    `paths` are the files that the call changed in the workspace; for a command, all that now differ from the base.
    `build`: the command went through the build gate. `tests`: the tests that a command ran, or whether it may have
    tested something; None for other tools, and in older journals.
    """

    call: t.CallId
    tool: str
    state: t.ToolCallState
    answer: str
    paths: tuple[str, ...] = ()
    wall_s: float = 0.0
    gate_wait_s: float = 0.0
    build: bool = False
    tests: SuiteRun | bool | None = None


class WorkspaceUpdated(EventBody, frozen=True, tag="workspace_updated"):
    """An agent brings its workspace from one commit of trunk to a newer one, before it hands off.

    `conflicts` are the paths in which its changes conflict with trunk; `reason` is what git says about them.
    """

    since: t.CommitId
    base: t.CommitId
    conflicts: tuple[str, ...] = ()
    reason: str = ""


# --- tasks ---------------------------------------------------------------------------------------------------


class TaskQueued(EventBody, frozen=True, tag="task_queued"):
    queued: t.Task


class TaskHeld(EventBody, frozen=True, tag="task_held"):
    """A task that it comes after, `behind`, failed or was cancelled. Its planner releases, amends or cancels it."""

    behind: t.TaskId


class TaskReleased(EventBody, frozen=True, tag="task_released"):
    """The task is held no longer: it comes after other tasks now, or after none."""


class TaskAmended(EventBody, frozen=True, tag="task_amended"):
    """The task's planner changed what it asks, in the fields that `changed` names, under this version of the intent."""

    spec: t.TaskSpec
    changed: tuple[str, ...]
    intent: int = 0


class TaskDirected(EventBody, frozen=True, tag="task_directed"):
    """A person told a worker of the task something that supersedes goal and scope. `taken_back`: or takes it back."""

    text: str
    taken_back: bool = False


class TaskStarted(EventBody, frozen=True, tag="task_started"):
    """An attempt began, by the agent `worker`."""

    worker: t.AgentId
    attempt: int


class AttemptContinued(EventBody, frozen=True, tag="attempt_continued"):
    """A new process continues an attempt where the last one left it. `crashed`: that one was killed."""

    crashed: bool


class TaskRequeued(EventBody, frozen=True, tag="task_requeued"):
    """An attempt ended without a handoff; another follows, no earlier than `not_before`.

    `lost`: the agent or the program ended; otherwise the attempt failed by itself. `counts`: towards the number of
    failed attempts after which the task fails.
    """

    reason: str
    lost: bool
    not_before: t.Micros
    counts: bool = True


class TaskEnded(EventBody, frozen=True, tag="task_ended"):
    """`state` is landed, unchanged, failed or cancelled. `intent`: the version the planner knew when it cancelled it.

    Only a task with a commit has landed. Older journals say so of tasks without a change, too: these are read as
    unchanged.
    """

    state: str
    reason: str = ""
    commit: t.CommitId | None = None
    intent: int = 0

    def __post_init__(self) -> None:
        if self.state == t.TaskState.LANDED and self.commit is None:
            force_setattr(self, "state", t.TaskState.UNCHANGED.value)


class TaskUnwanted(EventBody, frozen=True, tag="task_unwanted"):
    """The task was cancelled while it was landing: it ends cancelled unless the landing succeeds.

    `intent`: as in TaskEnded.
    """

    reason: str
    intent: int = 0


class LandingStarted(EventBody, frozen=True, tag="landing_started"):
    """A worker's change is about to be merged.

    `text` is the worker's handoff. If the program ends before the landing is recorded, and the change turns out to be
    on trunk, the next process delivers this handoff.
    """

    landing: t.LandingId
    change: t.CommitId
    text: t.HandoffText


class LandingFinished(EventBody, frozen=True, tag="landing_finished"):
    landing: t.Landing


class LandingWaits(EventBody, frozen=True, tag="landing_waits"):
    """A landing waits for its turn: each contested path, with the agent whose landing comes before it."""

    behind: dict[str, t.AgentPath]


class PrecedenceGiven(EventBody, frozen=True, tag="precedence_given"):
    """The task resolves a conflict in `paths`. Until then, later landings that change one of them wait.

    `merged` is the commit that holds the conflict, with markers. `whole`: changes of other lines wait, too, because the
    task has lost a conflict before.
    """

    paths: tuple[str, ...]
    until: t.Micros
    merged: t.CommitId | None = None
    whole: bool = False


class PrecedenceEnded(EventBody, frozen=True, tag="precedence_ended"):
    """The task's precedence ended before the task did, because its time is over."""


class HandedOff(EventBody, frozen=True, tag="handed_off"):
    handoff: t.Handoff


class HandoffResolved(EventBody, frozen=True, tag="handoff_resolved"):
    """The person marked a handoff as dealt with, or removed that mark."""

    handoff: t.HandoffId
    resolved: bool = True


# --- green ---------------------------------------------------------------------------------------------------


class BaseSurveyed(EventBody, frozen=True, tag="base_surveyed"):
    """The commit that the run starts from was checked, or an earlier run had."""

    survey: t.BaseSurvey


class EnvironmentSurveyed(EventBody, frozen=True, tag="environment_surveyed"):
    """What agents' commands find in their sandbox was looked up, before the first model call."""

    environment: Environment


class CheckFinished(EventBody, frozen=True, tag="check_finished"):
    check: t.Check


class BreakTraced(EventBody, frozen=True, tag="break_traced"):
    """The reconciler searched for the landing that broke trunk. The event's agent is the planner of the fixup."""

    broken: t.Break


class FixupsExhausted(EventBody, frozen=True, tag="fixups_exhausted"):
    """After this many fixups trunk is still red: the planners have to repair it, until green moves again."""

    tip: t.CommitId
    fixups: int


class GreenMoved(EventBody, frozen=True, tag="green_moved"):
    """`commit` is None if green was taken back: the check is another one than the one that green had passed."""

    commit: t.CommitId | None


class Published(EventBody, frozen=True, tag="published"):
    """Trunk and green were written to the person's repo; `left_alone` says why a ref was not, if so."""

    trunk: t.CommitId
    green: t.CommitId | None
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
    | NoteMade
    | NoteAnswered
    | AnswersOverdue
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
    | HotFilesTold
    | ScratchpadRewritten
    | Pivoted
    | TurnTaken
    | ModelCallRetried
    | AnswersDropped
    | ContextCompacted
    | ToolStarted
    | ToolFinished
    | WorkspaceUpdated
    | TaskQueued
    | TaskHeld
    | TaskReleased
    | TaskAmended
    | TaskDirected
    | TaskStarted
    | AttemptContinued
    | TaskRequeued
    | TaskEnded
    | TaskUnwanted
    | LandingStarted
    | LandingFinished
    | LandingWaits
    | PrecedenceGiven
    | PrecedenceEnded
    | HandedOff
    | HandoffResolved
    | BaseSurveyed
    | EnvironmentSurveyed
    | CheckFinished
    | BreakTraced
    | FixupsExhausted
    | GreenMoved
    | Published
)


class Event(Struct, frozen=True):
    """A body, and what it is about: an `agent`, a `task`. `cause` is the `seq` of the event that caused it."""

    seq: int
    at: t.Micros
    epoch: int
    body: Body
    agent: t.AgentId | None = None
    task: t.TaskId | None = None
    cause: int | None = None

    @property
    def kind(self) -> str:
        return str(self.body.__struct_config__.tag)


class Draft(Struct, frozen=True):
    """An event that is not recorded yet, and so has no sequence number."""

    body: Body
    agent: t.AgentId | None = None
    task: t.TaskId | None = None

"""The read model: what a run looks like now. Live run, resume, replay, screen and printout fold the same events."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from engine import events as e
from engine.contention import Contention
from engine.lifecycle import check_agent, check_run, check_task
from engine.spending import BudgetMark, Part, Spent, began, of_task, parts_of
from engine.types import (
    HOUR,
    ROOT,
    Agent,
    AgentId,
    AgentPath,
    AgentState,
    AgentUse,
    Break,
    Check,
    CheckMark,
    CheckPurpose,
    CommitId,
    Handoff,
    HandoffId,
    HandoffText,
    InboxMessage,
    Intent,
    Landing,
    LandingId,
    LandingState,
    LoadLimit,
    Micros,
    ModelName,
    Pathology,
    Role,
    RunId,
    RunState,
    Sample,
    Scratchpad,
    Task,
    TaskId,
    TaskState,
    Usage,
)

OVERTAKING = 256
"""Among how many of the newest landings one may be recorded before another that it was made on top of."""
INDEX_LOCKED = "index.lock': File exists"
"""What git says when another holds its index: it never waits for it."""
KNOWN_FAILURES = 2_000
"""How many failures are remembered, the newest."""
RECENT = 1_000
"""How many of the newest landings, warnings and samples a snapshot keeps; the journal has them all."""


@dataclass(frozen=True, slots=True)
class PendingLanding:
    """A landing under way: what to finish or repeat after a crash."""

    id: LandingId
    task: TaskId
    agent: AgentId
    change: CommitId
    text: HandoffText


@dataclass(slots=True)
class Snapshot:
    """State of one run after event `seq`. `apply` changes it in place; `copy` is for handing it to another thread.

    All values in the dicts are frozen, so a shallow copy is a true one.
    """

    seq: int = 0
    at: Micros = 0
    epoch: int = 0
    run: RunId = RunId("")
    repo: str = ""
    branch: str = ""
    base: CommitId = CommitId("")
    check_command: str = ""
    version: str = ""
    models: dict[str, ModelName] = field(default_factory=dict)
    models_below: dict[AgentId, ModelName] = field(default_factory=dict)
    """Models that a person chose for subtrees; they hold for what is spawned below, too."""
    settings: str = "{}"
    state: RunState = RunState.RUNNING
    reason: str = ""
    exit_status: int | None = None
    sandbox_level: str = ""
    copy_method: str = ""
    not_guaranteed: tuple[str, ...] = ()
    """Promises that the sandbox level does not keep."""
    granted: tuple[str, ...] = ()
    """What settings let commands reach: `network`, and folders."""
    pid: int = 0
    created_at: Micros = 0
    epoch_at: Micros = 0
    worked: Micros = 0
    """Microseconds that processes worked on the run, up to the present epoch."""
    workers_limit: int = 0
    workers_limit_by: str = ""
    workers_limit_reason: str = ""
    workers_below: dict[AgentId, int] = field(default_factory=dict)
    """How many workers may be at work at once below each planner that has a limit of its own."""

    intents: list[Intent] = field(default_factory=list)
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    paths: dict[AgentPath, AgentId] = field(default_factory=dict)
    children: dict[AgentId, list[AgentId]] = field(default_factory=dict)
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    tasks_of: dict[AgentId, list[TaskId]] = field(default_factory=dict)
    handoffs: dict[HandoffId, Handoff] = field(default_factory=dict)
    resolved: dict[HandoffId, Micros] = field(default_factory=dict)
    """Handoffs that a person has dealt with, and when."""
    landings: deque[Landing] = field(default_factory=lambda: deque(maxlen=RECENT))
    pending_landings: dict[TaskId, PendingLanding] = field(default_factory=dict)
    made_on: dict[CommitId, CommitId] = field(default_factory=dict)
    """The newest landed commits, by the commit that each was made on top of."""
    inboxes: dict[AgentId, list[InboxMessage]] = field(default_factory=dict)
    scratchpads: dict[AgentId, Scratchpad] = field(default_factory=dict)

    pathologies: dict[AgentId, dict[Pathology, int]] = field(default_factory=dict)
    """How often each has shown at an agent since its last good move."""

    failures: dict[str, dict[AgentId, Micros]] = field(default_factory=dict)
    """Who met each failure lately, and when; those met last come last."""
    failures_told: dict[str, Micros] = field(default_factory=dict)
    """Failures of many agents that a planner was told of, and when."""

    trunk: CommitId = CommitId("")
    green: CommitId | None = None
    green_at: Micros | None = None
    last_check: Check | None = None
    checks_passed: int = 0
    checks_failed: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0
    marks: deque[CheckMark] = field(default_factory=lambda: deque(maxlen=RECENT))
    """The newest snapshots of trunk, oldest first."""
    broken: Break | None = None
    """Where trunk broke last, until it is green again."""
    given_up: bool = False
    """Fixups have left trunk red and it is the planners' to mend, until green moves."""
    left_alone: str = ""

    usage: Usage = field(default_factory=Usage)
    spent: dict[Part, Spent] = field(default_factory=dict)
    """What the run, each role, each planner's subtree and each task have used."""
    load_limit: LoadLimit | None = None
    """What the governor has said in this epoch."""
    uses: dict[AgentId, AgentUse] = field(default_factory=dict)
    """What agents' commands use, as of the last look at them."""
    index_lock_failures: int = 0
    """Commands that found git's index locked by another: it never waits, it fails."""
    budget_marks: dict[Part, BudgetMark] = field(default_factory=dict)
    """Parts that are or were near a limit."""
    model_calls: int = 0
    tool_calls: int = 0
    retries: int = 0
    landing_counts: Counter[LandingState] = field(default_factory=Counter)
    task_counts: Counter[TaskState] = field(default_factory=Counter)
    contention: Contention = field(default_factory=Contention)
    handoff_count: int = 0
    landed_times: deque[Micros] = field(default_factory=lambda: deque(maxlen=RECENT))
    warnings: deque[tuple[Micros, str]] = field(default_factory=lambda: deque(maxlen=RECENT))
    samples: deque[tuple[Micros, Sample]] = field(default_factory=lambda: deque(maxlen=RECENT))

    # --- questions -------------------------------------------------------------------------------------------

    @property
    def root(self) -> AgentId | None:
        return self.paths.get(ROOT)

    @property
    def intent(self) -> Intent | None:
        return self.intents[-1] if self.intents else None

    @property
    def ended(self) -> bool:
        return self.state in (RunState.FINISHED, RunState.STOPPED, RunState.FAILED)

    @property
    def rehearsal(self) -> bool:
        return any(model.startswith("rehearsal:") for model in self.models.values())

    @property
    def error_rate(self) -> float | None:
        """Share of trunk's snapshots that failed; None before the first."""
        return self.snapshots_failed / self.snapshots if self.snapshots else None

    def error_rate_of(self, newest: int) -> float | None:
        """The error rate of the newest so many snapshots; None before the first."""
        marks = list(self.marks)[-newest:]
        return sum(not mark.passed for mark in marks) / len(marks) if marks else None

    @property
    def red(self) -> bool:
        """Whether the newest snapshot of trunk failed."""
        return bool(self.marks) and not self.marks[-1].passed

    def wall(self, now: Micros) -> Micros:
        """Microseconds that processes worked on the run, up to `now` while it is live."""
        return self.worked + (0 if self.ended or not self.epoch_at else max(0, now - self.epoch_at))

    def landed_per_hour(self, now: Micros) -> float:
        """Tasks landed per hour of work, over the whole run."""
        wall = self.wall(now)
        return self.task_counts[TaskState.LANDED] * 3_600_000_000 / wall if wall else 0.0

    def ancestors(self, agent: AgentId) -> Iterator[Agent]:
        """The agent and all above it, upwards."""
        at: AgentId | None = agent
        while at is not None and (here := self.agents.get(at)) is not None:
            yield here
            at = here.parent

    def subtree(self, agent: AgentId) -> Iterator[Agent]:
        """The agent and all below it, parents first."""
        if (here := self.agents.get(agent)) is not None:
            yield here
            for child in self.children.get(agent, ()):
                yield from self.subtree(child)

    def is_paused(self, agent: AgentId) -> bool:
        """Whether the agent is held: by itself, by an ancestor or by the run."""
        return self.state in (RunState.PAUSING, RunState.PAUSED) or any(above.paused for above in self.ancestors(agent))

    def is_frozen(self, agent: AgentId) -> bool:
        """Whether the commands that the agent runs stand still."""
        return any(above.frozen for above in self.ancestors(agent))

    def model_for(self, role: Role, planner: AgentId) -> ModelName:
        """The model of a new agent below a planner: what was chosen for the nearest subtree, else for the role."""
        chosen = (self.models_below[above.id] for above in self.ancestors(planner) if above.id in self.models_below)
        return next(chosen, self.models[role])

    def priority(self, task: Task) -> int:
        """A task's priority with what was added to the subtrees it is in."""
        return task.spec.priority + sum(above.priority for above in self.ancestors(task.planner))

    def use_of(self, agent: AgentId) -> AgentUse:
        """What the agent and all below it use."""
        return sum((self.uses[each.id] for each in self.subtree(agent) if each.id in self.uses), AgentUse())

    def open_tasks(self, planner: AgentId) -> list[Task]:
        """The planner's own tasks that have not ended, oldest first."""
        return [task for id in self.tasks_of.get(planner, ()) if not (task := self.tasks[id]).ended]

    def open_subplanners(self, planner: AgentId) -> list[Agent]:
        """The planner's own subplanners that have not ended, oldest first."""
        return [
            child
            for id in self.children.get(planner, ())
            if (child := self.agents[id]).role is Role.PLANNER and not child.ended
        ]

    def subplanners(self, planner: AgentId) -> list[Agent]:
        """The planner's own subplanners that can still be told something, oldest first."""
        gone = (AgentState.FAILED, AgentState.CANCELLED)
        below = [self.agents[id] for id in self.children.get(planner, ())]
        return [child for child in below if child.role is Role.PLANNER and child.state not in gone]

    def subplanner(self, planner: AgentId, name: str) -> Agent | None:
        """The planner's own subplanner of that title, path or end of its path: one that is at work, else the newest."""
        named = [
            each for each in self.subplanners(planner) if name in (each.title, each.path, each.path.rpartition("/")[2])
        ]
        return next((each for each in reversed(named) if not each.ended), named[-1] if named else None)

    def copy(self) -> "Snapshot":
        """A snapshot that further events do not change."""
        new = object.__new__(Snapshot)
        for name in Snapshot.__slots__:
            value = getattr(self, name)
            if isinstance(value, (dict, list, deque, Counter, Contention)):
                value = value.copy()
            setattr(new, name, value)
        new.children = {id: list(below) for id, below in self.children.items()}
        new.tasks_of = {id: list(tasks) for id, tasks in self.tasks_of.items()}
        new.inboxes = {id: list(inbox) for id, inbox in self.inboxes.items()}
        return new

    # --- the fold --------------------------------------------------------------------------------------------

    def apply(self, event: e.Event) -> None:
        """Fold one event in. Raises IllegalTransition for a transition that cannot be."""
        _FOLDS[type(event.body)](self, event, event.body)
        self.seq, self.at = event.seq, event.at
        self.epoch = max(self.epoch, event.epoch)

    def _spend(self, event: e.Event, usage: Usage) -> None:
        assert event.agent is not None
        self.usage += usage
        self.model_calls += 1
        for part in parts_of(self.agents[event.agent]):
            self.spent[part] = self.spent.get(part, Spent()).plus(usage)

    def _agent(self, event: e.Event, **changes: Any) -> Agent:
        assert event.agent is not None
        agent = replace(self.agents[event.agent], **changes)
        self.agents[event.agent] = agent
        return agent

    def _task(self, event: e.Event, **changes: Any) -> Task:
        assert event.task is not None
        old = self.tasks[event.task]
        if "state" in changes:
            check_task(old.state, changes["state"])
            self.task_counts[old.state] -= 1
            self.task_counts[changes["state"]] += 1
        task = replace(old, **changes)
        self.tasks[event.task] = task
        return task


Fold = Callable[[Snapshot, e.Event, Any], None]
_FOLDS: dict[type, Fold] = {}


def _folds(kind: type) -> Callable[[Fold], Fold]:
    def register(fold: Fold) -> Fold:
        _FOLDS[kind] = fold
        return fold

    return register


def _no_change(snapshot: Snapshot, event: e.Event, body: object) -> None:
    """The event is for the record only."""


@_folds(e.RunCreated)
def _(s: Snapshot, event: e.Event, body: e.RunCreated) -> None:
    s.run, s.repo, s.branch, s.base, s.trunk = body.run, body.repo, body.branch, body.base, body.base
    s.check_command, s.models, s.settings = body.check, dict(body.models), body.settings
    s.version = body.version
    s.created_at = event.at


@_folds(e.EpochStarted)
def _(s: Snapshot, event: e.Event, body: e.EpochStarted) -> None:
    if s.epoch_at and not s.ended:
        s.worked += max(0, s.at - s.epoch_at)  # the epoch before ended by dying at its last event
    s.epoch, s.epoch_at, s.pid = event.epoch, event.at, body.pid
    s.load_limit, s.uses = None, {}
    s.sandbox_level, s.copy_method = body.sandbox_level, body.copy_method
    s.not_guaranteed, s.granted = body.not_guaranteed, body.granted
    s.settings = body.settings or s.settings
    if s.ended:
        check_run(s.state, RunState.RUNNING)
        s.state, s.reason, s.exit_status = RunState.RUNNING, "", None


@_folds(e.RunStateChanged)
def _(s: Snapshot, event: e.Event, body: e.RunStateChanged) -> None:
    check_run(s.state, body.state)
    was_ended = s.ended
    s.state, s.reason, s.exit_status = body.state, body.reason, body.exit_status
    if s.ended and not was_ended:
        s.worked += max(0, event.at - s.epoch_at)


@_folds(e.WorkersLimited)
def _(s: Snapshot, event: e.Event, body: e.WorkersLimited) -> None:
    s.workers_limit, s.workers_limit_by, s.workers_limit_reason = body.workers, body.by, body.reason


@_folds(e.BudgetMarked)
def _(s: Snapshot, event: e.Event, body: e.BudgetMarked) -> None:
    s.budget_marks[body.part] = BudgetMark(body.mark, body.limit, event.at)


@_folds(e.Warned)
def _(s: Snapshot, event: e.Event, body: e.Warned) -> None:
    s.warnings.append((event.at, body.text))


@_folds(e.Sampled)
def _(s: Snapshot, event: e.Event, body: e.Sampled) -> None:
    s.samples.append((event.at, body.sample))


@_folds(e.LoadLimited)
def _(s: Snapshot, event: e.Event, body: e.LoadLimited) -> None:
    s.load_limit = replace(body.limit, at=event.at)


@_folds(e.AgentsSampled)
def _(s: Snapshot, event: e.Event, body: e.AgentsSampled) -> None:
    s.uses = dict(body.uses)


@_folds(e.ToolFinished)
def _(s: Snapshot, event: e.Event, body: e.ToolFinished) -> None:
    s.index_lock_failures += body.tool == "shell" and INDEX_LOCKED in body.answer


@_folds(e.IntentVersioned)
def _(s: Snapshot, event: e.Event, body: e.IntentVersioned) -> None:
    s.intents.append(body.intent)


@_folds(e.MessageQueued)
def _(s: Snapshot, event: e.Event, body: e.MessageQueued) -> None:
    if s.agents[body.message.to_agent].state in (AgentState.FAILED, AgentState.CANCELLED):
        return  # nobody is there to read it; it stays on record
    s.inboxes.setdefault(body.message.to_agent, []).append(body.message)


@_folds(e.AgentSpawned)
def _(s: Snapshot, event: e.Event, body: e.AgentSpawned) -> None:
    agent = body.spawned
    s.agents[agent.id] = agent
    s.paths[agent.path] = agent.id
    if agent.parent is not None:
        s.children.setdefault(agent.parent, []).append(agent.id)
    s.spent |= began(s.spent, agent, s.wall(event.at))


@_folds(e.AgentStateChanged)
def _(s: Snapshot, event: e.Event, body: e.AgentStateChanged) -> None:
    assert event.agent is not None
    check_agent(s.agents[event.agent].state, body.state)
    agent = s._agent(event, state=body.state, doing=body.doing, reason=body.reason)
    ended_at = (agent.ended_at or event.at) if agent.ended else None
    if ended_at != agent.ended_at:
        s._agent(event, ended_at=ended_at)
    if agent.ended or agent.state is AgentState.WAITING:
        s.pathologies.pop(agent.id, None)
    if agent.state in (AgentState.FAILED, AgentState.CANCELLED):
        s.inboxes.pop(agent.id, None)


@_folds(e.SubtreePaused)
def _(s: Snapshot, event: e.Event, body: e.SubtreePaused) -> None:
    s._agent(event, paused=True, frozen=body.freeze)


@_folds(e.SubtreeResumed)
def _(s: Snapshot, event: e.Event, body: e.SubtreeResumed) -> None:
    s._agent(event, paused=False, frozen=False)


@_folds(e.SubtreeLimited)
def _(s: Snapshot, event: e.Event, body: e.SubtreeLimited) -> None:
    assert event.agent is not None
    if body.workers is None:
        s.workers_below.pop(event.agent, None)
    else:
        s.workers_below[event.agent] = body.workers


@_folds(e.PriorityChanged)
def _(s: Snapshot, event: e.Event, body: e.PriorityChanged) -> None:
    s._agent(event, priority=body.priority)


@_folds(e.ModelChanged)
def _(s: Snapshot, event: e.Event, body: e.ModelChanged) -> None:
    if event.agent is not None:
        s._agent(event, model=body.model)
        s.models_below[event.agent] = body.model
        return
    for role in Role if body.role is None else (body.role,):
        s.models[role] = body.model
    for agent in s.agents.values():
        if body.role in (None, agent.role) and not (agent.ended and agent.role is not Role.PLANNER):
            s.agents[agent.id] = replace(agent, model=body.model)
            s.models_below.pop(agent.id, None)


@_folds(e.Rescoped)
def _(s: Snapshot, event: e.Event, body: e.Rescoped) -> None:
    s._agent(event, goal=body.goal, scope=body.scope)


@_folds(e.PathologySeen)
def _(s: Snapshot, event: e.Event, body: e.PathologySeen) -> None:
    assert event.agent is not None
    if not s.agents[event.agent].ended:
        s.pathologies[event.agent] = {**s.pathologies.get(event.agent, {}), body.pathology: body.times}


@_folds(e.FailureNoted)
def _(s: Snapshot, event: e.Event, body: e.FailureNoted) -> None:
    assert event.agent is not None
    known = s.failures.pop(body.failure, {})
    recent = {agent: at for agent, at in known.items() if at > event.at - HOUR}
    s.failures[body.failure] = {**recent, event.agent: event.at}
    if len(s.failures) > KNOWN_FAILURES:
        oldest = next(iter(s.failures))
        s.failures.pop(oldest)
        s.failures_told.pop(oldest, None)


@_folds(e.FailureShared)
def _(s: Snapshot, event: e.Event, body: e.FailureShared) -> None:
    s.failures_told[body.failure] = event.at


@_folds(e.ScratchpadRewritten)
def _(s: Snapshot, event: e.Event, body: e.ScratchpadRewritten) -> None:
    assert event.agent is not None
    s.scratchpads[event.agent] = Scratchpad(event.agent, body.version, event.at, body.text)


@_folds(e.TurnTaken)
def _(s: Snapshot, event: e.Event, body: e.TurnTaken) -> None:
    assert event.agent is not None
    if body.consumed:
        inbox = s.inboxes.get(event.agent, [])
        s.inboxes[event.agent] = [message for message in inbox if message.id not in body.consumed]
    agent = s.agents[event.agent]
    s._agent(
        event,
        steps=agent.steps + 1,
        usage=agent.usage + body.usage,
        tokens_in_context=body.usage.input + body.usage.output,
        stepped_at=event.at,
        intent=max(agent.intent, body.intent),
    )
    s._spend(event, body.usage)


@_folds(e.ModelCallRetried)
def _(s: Snapshot, event: e.Event, body: e.ModelCallRetried) -> None:
    s.retries += 1


@_folds(e.ContextCompacted)
def _(s: Snapshot, event: e.Event, body: e.ContextCompacted) -> None:
    assert event.agent is not None
    s._agent(event, usage=s.agents[event.agent].usage + body.usage, tokens_in_context=0)
    s.pathologies.pop(event.agent, None)
    s._spend(event, body.usage)


@_folds(e.ToolStarted)
def _(s: Snapshot, event: e.Event, body: e.ToolStarted) -> None:
    s._agent(event, state=AgentState.ACTING, doing=f"{body.tool} {body.target}".rstrip())
    s.tool_calls += 1


@_folds(e.TaskQueued)
def _(s: Snapshot, event: e.Event, body: e.TaskQueued) -> None:
    task = body.queued
    s.tasks[task.id] = task
    s.tasks_of.setdefault(task.planner, []).append(task.id)
    s.task_counts[task.state] += 1


@_folds(e.TaskStarted)
def _(s: Snapshot, event: e.Event, body: e.TaskStarted) -> None:
    s._task(event, state=TaskState.WORKING, agent=body.worker, attempt=body.attempt)


@_folds(e.TaskRequeued)
def _(s: Snapshot, event: e.Event, body: e.TaskRequeued) -> None:
    assert event.task is not None
    task = s.tasks[event.task]
    s.pending_landings.pop(task.id, None)
    s._task(
        event,
        state=TaskState.QUEUED,
        agent=None,
        reason=body.reason,
        not_before=body.not_before,
        losses=task.losses + (body.lost and body.counts),
        failures=task.failures + (not body.lost),
    )


@_folds(e.TaskEnded)
def _(s: Snapshot, event: e.Event, body: e.TaskEnded) -> None:
    task = s._task(
        event,
        state=TaskState(body.state),
        reason=body.reason,
        commit=body.commit,
        ended_at=event.at,
        cancelled_under=body.intent,
    )
    s.pending_landings.pop(task.id, None)
    s.budget_marks.pop(of_task(task.id), None)
    if task.state is TaskState.LANDED:
        s.landed_times.append(event.at)


@_folds(e.TaskUnwanted)
def _(s: Snapshot, event: e.Event, body: e.TaskUnwanted) -> None:
    s._task(event, unwanted=body.reason or "cancelled", cancelled_under=body.intent)


@_folds(e.LandingStarted)
def _(s: Snapshot, event: e.Event, body: e.LandingStarted) -> None:
    assert event.agent is not None
    task = s._task(event, state=TaskState.LANDING)
    s.pending_landings[task.id] = PendingLanding(body.landing, task.id, event.agent, body.change, body.text)


@_folds(e.LandingFinished)
def _(s: Snapshot, event: e.Event, body: e.LandingFinished) -> None:
    landing = body.landing
    s.landings.append(landing)
    s.landing_counts[landing.state] += 1
    if (its_task := s.tasks.get(landing.task)) is not None:
        s.contention.add(landing, its_task.planner)
    if landing.commit is not None:
        s.trunk = _end_of_trunk(s, landing.base, landing.commit)
    if landing.state in (LandingState.CONFLICTED, LandingState.REFUSED):
        task = s.tasks[landing.task]
        s.pending_landings.pop(task.id, None)
        conflicts = task.conflicts + (landing.state is LandingState.CONFLICTED)
        s._task(event, state=TaskState.WORKING, conflicts=conflicts)


def _end_of_trunk(s: Snapshot, base: CommitId, commit: CommitId) -> CommitId:
    """What trunk ends in after a landing: one that was made on top of it may have been recorded before it.

    One that was found on trunk afterwards has a base that may come after it.
    """
    s.made_on[base] = commit
    if len(s.made_on) > OVERTAKING:
        del s.made_on[next(iter(s.made_on))]
    end = commit
    for _ in range(OVERTAKING):
        next_one = s.made_on.get(end, commit)
        if next_one == commit:
            break
        end = next_one
    return end


@_folds(e.HandedOff)
def _(s: Snapshot, event: e.Event, body: e.HandedOff) -> None:
    s.handoffs[body.handoff.id] = body.handoff
    s.handoff_count += 1


@_folds(e.HandoffResolved)
def _(s: Snapshot, event: e.Event, body: e.HandoffResolved) -> None:
    if body.resolved:
        s.resolved[body.handoff] = event.at
    else:
        s.resolved.pop(body.handoff, None)


@_folds(e.CheckFinished)
def _(s: Snapshot, event: e.Event, body: e.CheckFinished) -> None:
    check = body.check
    s.checks_passed += check.passed
    s.checks_failed += not check.passed
    if check.purpose is CheckPurpose.SNAPSHOT:
        s.last_check = check
        s.snapshots += 1
        s.snapshots_failed += not check.passed
        s.marks.append(CheckMark(check.at, check.commit, check.passed, check.exit, check.failing))


@_folds(e.BreakTraced)
def _(s: Snapshot, event: e.Event, body: e.BreakTraced) -> None:
    s.broken = body.broken


@_folds(e.FixupsExhausted)
def _(s: Snapshot, event: e.Event, body: e.FixupsExhausted) -> None:
    s.given_up = True


@_folds(e.GreenMoved)
def _(s: Snapshot, event: e.Event, body: e.GreenMoved) -> None:
    s.green, s.green_at = body.commit, event.at
    if not s.red:
        s.broken, s.given_up = None, False


@_folds(e.Published)
def _(s: Snapshot, event: e.Event, body: e.Published) -> None:
    s.left_alone = body.left_alone


for _kind in (e.Pivoted, e.AnswersDropped):
    _folds(_kind)(_no_change)

"""The snapshot: the state of a run, and queries on it."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.domain import types as t
from engine.domain.collisions import Collisions
from engine.domain.environment import Environment
from engine.domain.handoff_facts import SharedFinding, SuiteLog
from engine.domain.notes import Note, NoteKind
from engine.domain.resource_use import AgentUse, LoadLimit, Sample
from engine.domain.spending import BudgetMark, Part, Spent
from engine.state.retired import Retired

OVERTAKING = 256
"""Landings may be recorded out of order, but only among this many of the newest."""
RECENT = 1_000
"""How many of the newest landings, warnings and samples a snapshot keeps. The journal keeps all."""


@dataclass(frozen=True, slots=True)
class PendingLanding:
    """A landing in progress, to be finished or repeated if the process ends."""

    id: t.LandingId
    task: t.TaskId
    agent: t.AgentId
    change: t.CommitId
    text: t.HandoffText


@dataclass(slots=True)
class Snapshot:
    """The state of one run after event `seq`. `fold` changes it in place; `copy` makes one for another thread.

    All values in the dicts are frozen, so a shallow copy is enough.
    """

    seq: int = 0
    at: t.Micros = 0
    epoch: int = 0
    run: t.RunId = t.RunId("")
    repo: str = ""
    branch: str = ""
    base: t.CommitId = t.CommitId("")
    check_command: str = ""
    version: str = ""
    models: dict[str, t.ModelName] = field(default_factory=dict)
    models_below: dict[t.AgentId, t.ModelName] = field(default_factory=dict)
    """Models that the person chose for subtrees, also for agents that are spawned there later."""
    settings: str = "{}"
    state: t.RunState = t.RunState.RUNNING
    reason: str = ""
    exit_status: int | None = None
    sandbox_level: str = ""
    copy_method: str = ""
    not_guaranteed: tuple[str, ...] = ()
    """Guarantees that the sandbox level does not give."""
    granted: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """What the settings let commands reach: `network`, and folders."""
    pid: int = 0
    created_at: t.Micros = 0
    epoch_at: t.Micros = 0
    worked: t.Micros = 0
    """Working time in microseconds, without the present epoch."""
    workers_limit: int = 0
    workers_limit_by: str = ""
    workers_limit_reason: str = ""
    workers_below: dict[t.AgentId, int] = field(default_factory=dict)
    """How many workers may run at a time below each planner that has its own limit."""

    intents: list[t.Intent] = field(default_factory=list)
    agents: dict[t.AgentId, t.Agent] = field(default_factory=dict)
    paths: dict[t.AgentPath, t.AgentId] = field(default_factory=dict)
    children: dict[t.AgentId, tuple[t.AgentId, ...]] = field(default_factory=dict)
    tasks: dict[t.TaskId, t.Task] = field(default_factory=dict)
    tasks_of: dict[t.AgentId, tuple[t.TaskId, ...]] = field(default_factory=dict)
    handoffs: dict[t.HandoffId, t.Handoff] = field(default_factory=dict)
    leaving: dict[str, t.Micros] = field(default_factory=dict)
    """When the tasks and planners in memory ended, in the order in which the fold examines them."""
    retired: dict[t.AgentId, Retired] = field(default_factory=dict)
    """What has left memory, by the planner above it that is still there."""
    resolved: dict[t.HandoffId, t.Micros] = field(default_factory=dict)
    """Handoffs that the person marked as dealt with, and when."""
    landings: deque[t.Landing] = field(default_factory=lambda: deque(maxlen=RECENT))
    pending_landings: dict[t.TaskId, PendingLanding] = field(default_factory=dict)
    claims: dict[t.TaskId, t.Claim] = field(default_factory=dict)
    """Who has precedence on paths in conflict, and whose landings wait, in order."""
    made_on: dict[t.CommitId, t.CommitId] = field(default_factory=dict)
    """The newest landed commits, by their base."""
    inboxes: dict[t.AgentId, tuple[t.InboxMessage, ...]] = field(default_factory=dict)
    scratchpads: dict[t.AgentId, t.Scratchpad] = field(default_factory=dict)
    shared_findings: dict[t.AgentId, tuple[SharedFinding, ...]] = field(default_factory=dict)
    """The newest findings that agents marked as worth sharing, oldest first, by the planner that they report to."""

    notes: dict[int, Note] = field(default_factory=dict)
    """What planners assumed and asked, by number."""
    note_count: int = 0
    note_counts: Counter[NoteKind] = field(default_factory=Counter)
    """The notes to the person, by kind."""

    test_logs: dict[t.AgentId, SuiteLog] = field(default_factory=dict)
    """What agents at work have tested."""

    pathologies: dict[t.AgentId, dict[t.Pathology, int]] = field(default_factory=dict)
    """How often each agent showed each pathology since it last behaved well."""

    reopened: dict[t.AgentId, int] = field(default_factory=dict)
    """How often its planner has asked each subplanner again after it had handed off, since the last intent."""

    failures: dict[str, dict[t.AgentId, t.Micros]] = field(default_factory=dict)
    """Which agents met each failure, and when; the latest failures come last."""
    failures_told: dict[str, t.Micros] = field(default_factory=dict)
    """Failures of many agents that a planner was told about, and when."""

    hot_files_told: dict[t.AgentId, dict[str, int]] = field(default_factory=dict)
    """The files with repeated conflicts in which a planner was told that its tasks meet, with the conflicts then."""

    trunk: t.CommitId = t.CommitId("")
    green: t.CommitId | None = None
    green_at: t.Micros | None = None
    green_check: str | None = None
    """The check command that green has passed from nothing; None in journals that do not say so."""
    passed: tuple[t.CommitId, str] | None = None
    """The newest commit that passed from nothing, and the check command."""
    base_survey: t.BaseSurvey | None = None
    environment: Environment | None = None
    """What agents' commands find in their sandbox, as last looked up."""
    last_check: t.Check | None = None
    last_clean_check: t.Check | None = None
    """The newest `SNAPSHOT` check from nothing."""
    warm_checks: int = 0
    """`SNAPSHOT` checks on earlier builds since then."""
    warm_checks_s: float = 0.0
    """Seconds that those took."""
    checks_passed: int = 0
    checks_failed: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0
    marks: deque[t.CheckMark] = field(default_factory=lambda: deque(maxlen=RECENT))
    """The results of the newest `SNAPSHOT` checks of trunk, oldest first."""
    broken: t.Break | None = None
    """The landing that broke trunk, until trunk is green again."""
    given_up: bool = False
    """Whether fixups failed to repair trunk, so that the planners have to, until green moves."""
    left_alone: str = ""

    usage: t.Usage = field(default_factory=t.Usage)
    spent: dict[Part, Spent] = field(default_factory=dict)
    """What the run, each role, each planner's subtree and each task have spent."""
    load_limit: LoadLimit | None = None
    """The governor's limit in this epoch."""
    uses: dict[t.AgentId, AgentUse] = field(default_factory=dict)
    """What agents' commands use, as last measured."""
    arriving: dict[t.AgentId, int] = field(default_factory=dict)
    """Tokens of model calls under way, as last estimated."""
    index_lock_failures: int = 0
    """Commands that failed because another process held the lock on git's index."""
    budget_marks: dict[Part, BudgetMark] = field(default_factory=dict)
    """The parts of the run that are or were near a limit."""
    model_calls: int = 0
    tool_calls: int = 0
    retries: int = 0
    landing_counts: Counter[t.LandingState] = field(default_factory=Counter)
    task_counts: Counter[t.TaskState] = field(default_factory=Counter)
    contention: Collisions = field(default_factory=Collisions)
    handoff_count: int = 0
    landed_times: deque[t.Micros] = field(default_factory=lambda: deque(maxlen=RECENT))
    warnings: deque[tuple[t.Micros, str]] = field(default_factory=lambda: deque(maxlen=RECENT))
    samples: deque[tuple[t.Micros, Sample]] = field(default_factory=lambda: deque(maxlen=RECENT))

    @property
    def root(self) -> t.AgentId | None:
        return self.paths.get(t.ROOT)

    @property
    def intent(self) -> t.Intent | None:
        return self.intents[-1] if self.intents else None

    @property
    def ended(self) -> bool:
        return self.state in (t.RunState.FINISHED, t.RunState.STOPPED, t.RunState.FAILED)

    @property
    def waiting_landings(self) -> frozenset[t.TaskId]:
        """The tasks whose landings wait for their turn. Their workers do nothing, and take no worker slot."""
        return frozenset(task for task, claim in self.claims.items() if not claim.until)

    @property
    def rehearsal(self) -> bool:
        return any(model.startswith("rehearsal:") for model in self.models.values())

    @property
    def error_rate(self) -> float | None:
        """The share of `SNAPSHOT` checks of trunk that failed; None before the first."""
        return self.snapshots_failed / self.snapshots if self.snapshots else None

    @property
    def red(self) -> bool:
        """Whether the newest `SNAPSHOT` check of trunk failed."""
        return bool(self.marks) and not self.marks[-1].passed

    @property
    def landed(self) -> int:
        """The number of landings that moved trunk."""
        return self.landing_counts[t.LandingState.MERGED] + self.landing_counts[t.LandingState.RESOLVED]

    @property
    def tokens(self) -> int:
        """All tokens, with those of answers that are arriving."""
        return self.usage.input + self.usage.output + sum(self.arriving.values())

    def wall(self, now: t.Micros) -> t.Micros:
        """The working time in microseconds, up to `now` if the run has not ended."""
        return self.worked + (0 if self.ended or not self.epoch_at else max(0, now - self.epoch_at))

    def landed_per_hour(self, now: t.Micros) -> float:
        """Landed tasks per hour of working time, over the whole run."""
        wall = self.wall(now)
        return self.task_counts[t.TaskState.LANDED] * 3_600_000_000 / wall if wall else 0.0

    def ancestors(self, agent: t.AgentId) -> Iterator[t.Agent]:
        """The agent and all above it, from the agent to the root."""
        at: t.AgentId | None = agent
        while at is not None and (here := self.agents.get(at)) is not None:
            yield here
            at = here.parent

    def planner_of(self, agent: t.AgentId) -> t.AgentId:
        """The planner above an agent; the agent itself when there is none."""
        known = self.agents.get(agent)
        return (known and known.parent) or agent

    def subtree(self, agent: t.AgentId) -> Iterator[t.Agent]:
        """The agent and all below it, parents first."""
        stack = [agent]
        while stack:
            if (here := self.agents.get(stack.pop())) is not None:
                yield here
                stack += reversed(self.children.get(here.id, ()))

    def is_paused(self, agent: t.AgentId) -> bool:
        """Whether the agent, an agent above it or the run is paused."""
        held = self.state in (t.RunState.PAUSING, t.RunState.PAUSED)
        return held or any(above.paused for above in self.ancestors(agent))

    def is_frozen(self, agent: t.AgentId) -> bool:
        """Whether the agent's commands are suspended."""
        return any(above.frozen for above in self.ancestors(agent))

    def model_for(self, role: t.Role, planner: t.AgentId) -> t.ModelName:
        """The model of a new agent below a planner: of the innermost subtree that has one, else of the role."""
        chosen = (self.models_below[above.id] for above in self.ancestors(planner) if above.id in self.models_below)
        return next(chosen, self.models[role])

    def priority(self, task: t.Task) -> int:
        """A task's priority, including what was added for the subtrees it is in."""
        return task.spec.priority + sum(above.priority for above in self.ancestors(task.planner))

    def retired_in(self, agent: t.AgentId) -> Iterator[Retired]:
        """What has left memory in the agent's subtree."""
        return (self.retired[each.id] for each in self.subtree(agent) if each.id in self.retired)

    def open_tasks(self, planner: t.AgentId) -> list[t.Task]:
        """The planner's own tasks that have not ended, oldest first."""
        return [task for id in self.tasks_of.get(planner, ()) if not (task := self.tasks[id]).ended]

    def open_subplanners(self, planner: t.AgentId) -> list[t.Agent]:
        """The planner's own subplanners that have not ended, oldest first."""
        return [child for child in self.subplanners(planner) if not child.ended]

    def subplanners(self, planner: t.AgentId) -> list[t.Agent]:
        """The planner's own subplanners that can still get messages, oldest first."""
        below = [self.agents[id] for id in self.children.get(planner, ())]
        return [child for child in below if child.role is t.Role.PLANNER and not child.gone]

    def subplanner(self, planner: t.AgentId, name: str) -> t.Agent | None:
        """The planner's own subplanner with this title, path or end of its path: a working one, else the newest."""
        named = [
            each for each in self.subplanners(planner) if name in (each.title, each.path, each.path.rpartition("/")[2])
        ]
        return next((each for each in reversed(named) if not each.ended), named[-1] if named else None)

    def needs_person(self, handoff: t.Handoff) -> bool:
        """Whether a person should read a handoff and has not marked it as resolved."""
        return handoff.id not in self.resolved and handoff.needs_person

    def notes_of(self, agent: t.AgentId) -> list[Note]:
        """The agent's open notes, oldest first."""
        return [note for note in self.notes.values() if note.agent == agent and note.open]

    def notes_to_person(self) -> list[Note]:
        """The open notes to the person: questions that somebody waits for, other questions, then assumptions."""
        open_ = (note for note in self.notes.values() if note.open and note.to_agent is None)
        return sorted(open_, key=lambda note: (not note.awaited, note.kind is not NoteKind.QUESTION, note.number))

    def questions_to(self, planner: t.AgentId) -> list[Note]:
        """The open questions that the planner's own subplanners have asked it and it has read, oldest first."""
        unread = {number for message in self.inboxes.get(planner, ()) for number in message.notes}
        asked = (note for note in self.notes.values() if note.to_agent == planner and note.open)
        return [note for note in asked if note.number not in unread]

    def awaits_answer(self, agent: t.AgentId) -> bool:
        """Whether the agent may wait for an answer to a question."""
        return any(note.awaited for note in self.notes_of(agent))

    def copy(self) -> "Snapshot":
        """A snapshot that later events do not change."""
        new = object.__new__(Snapshot)
        for name in Snapshot.__slots__:
            value = getattr(self, name)
            if isinstance(value, (dict, list, deque, Counter, Collisions)):
                value = value.copy()
            setattr(new, name, value)
        return new

"""What the screen knows between two paints: the snapshot in view, what is selected, and what a person marked."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tui.bridge import (
    Agent,
    AgentId,
    AgentState,
    Handoff,
    HandoffId,
    HandoffStatus,
    Role,
    RunId,
    Snapshot,
    Task,
    TaskId,
    TaskState,
    Usage,
)

_WORKING = (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
_ENDED = (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED)


@dataclass(slots=True)
class SubtreeTotals:
    """Sums over a subtree, the agent itself included. `usd` counts only what has a price."""

    open: int = 0
    landed: int = 0
    failed: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: bool = False


@dataclass(slots=True)
class RunCounts:
    """Counts over all agents of a run, kept up to date by what differs from the snapshot before."""

    states: Counter[AgentState] = field(default_factory=Counter)
    totals: dict[AgentId, SubtreeTotals] = field(default_factory=dict)
    _at: tuple[RunId, int] = (RunId(""), -1)
    _agents: dict[AgentId, Agent] = field(default_factory=dict)
    _tasks: dict[TaskId, Task] = field(default_factory=dict)

    @property
    def working(self) -> int:
        return sum(self.states[state] for state in _WORKING)

    @property
    def ended(self) -> int:
        return sum(self.states[state] for state in _ENDED)

    def update(self, run: Snapshot) -> None:
        """Count what changed since the last snapshot; everything anew when this one is older or of another run."""
        if run.run != self._at[0] or run.seq < self._at[1]:
            self.states, self.totals, self._agents, self._tasks = Counter(), {}, {}, {}
        for id, agent in run.agents.items():
            if (before := self._agents.get(id)) is not agent:
                self._count_agent(run, before, agent)
        for task_id, task in run.tasks.items():
            if (known := self._tasks.get(task_id)) is not task:
                self._count_task(run, known, task)
        # The values are frozen and a snapshot's dicts are its own, so these stay what they are.
        self._at, self._agents, self._tasks = (run.run, run.seq), run.agents, run.tasks

    def _count_agent(self, run: Snapshot, before: Agent | None, agent: Agent) -> None:
        if before is None:
            self.totals[agent.id] = SubtreeTotals()
        elif before.state is not agent.state:
            self.states[before.state] -= 1
        if before is None or before.state is not agent.state:
            self.states[agent.state] += 1
        was, usage = (before.usage if before is not None else Usage()), agent.usage
        if usage is was:
            return
        tokens = usage.input + usage.output - was.input - was.output
        usd = (usage.usd or 0.0) - (was.usd or 0.0)
        for above in run.ancestors(agent.id):
            sums = self.totals[above.id]
            sums.tokens += tokens
            sums.usd += usd
            sums.unpriced |= usage.usd is None

    def _count_task(self, run: Snapshot, before: Task | None, task: Task) -> None:
        was, now = (_fate(before) if before is not None else ""), _fate(task)
        if was == now:
            return
        for above in run.ancestors(task.planner):
            sums = self.totals[above.id]
            if was:
                setattr(sums, was, getattr(sums, was) - 1)
            if now:
                setattr(sums, now, getattr(sums, now) + 1)


def _fate(task: Task) -> str:
    """The sum that a task counts in; a cancelled one counts in none."""
    if not task.ended:
        return "open"
    return {TaskState.LANDED: "landed", TaskState.FAILED: "failed"}.get(task.state, "")


def run_counts(run: Snapshot) -> RunCounts:
    """The counts of one snapshot."""
    counts = RunCounts()
    counts.update(run)
    return counts


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that needs a person: a handoff to read, or an agent to look at; `text` says why."""

    text: str
    handoff: HandoffId | None = None
    agent: AgentId | None = None


def needs_person(handoff: Handoff) -> bool:
    """Whether someone should read it: it failed, or raises a concern."""
    return handoff.text.status is HandoffStatus.FAILED or bool(handoff.text.concerns.strip())


@dataclass(slots=True)
class View:
    """The screen's own state. `run` is None until the session has something to show."""

    run: Snapshot | None = None
    version: int = -1
    counts: RunCounts = field(default_factory=RunCounts)
    selected: AgentId | None = None
    handoff: HandoffId | None = None
    marked: set[AgentId] = field(default_factory=set)
    frozen: bool = False
    _wants: tuple[int, list[Attention]] = (-1, [])

    def take(self, version: int, run: Snapshot) -> None:
        """Show another snapshot; the selection stays where it was, the tree makes the first one."""
        self.version, self.run = version, run
        self.counts.update(run)
        if self.selected not in run.agents:
            self.selected = None

    @property
    def agent(self) -> Agent | None:
        """The selected agent."""
        return None if self.run is None or self.selected is None else self.run.agents.get(self.selected)

    def attention(self) -> list[Attention]:
        """Everything that needs a person, newest handoffs first."""
        if self._wants[0] != self.version:
            self._wants = self.version, list(self._look_for_wants())
        return self._wants[1]

    def _look_for_wants(self) -> Iterator[Attention]:
        run = self.run
        if run is None:
            return
        for handoff in reversed(run.handoffs.values()):
            if needs_person(handoff) and handoff.id not in run.resolved and handoff.agent in run.agents:
                path = run.agents[handoff.agent].path
                yield Attention(f"handoff of {path}", handoff=handoff.id, agent=handoff.agent)
        for agent in run.agents.values():
            if agent.role is Role.PLANNER and agent.state is AgentState.FAILED:
                yield Attention(f"{agent.path} failed: {agent.reason}", agent=agent.id)

    def find(self, agent: AgentId | None) -> Agent | None:
        """The agent as the newest snapshot has it; None while that does not know it."""
        return self.run.agents.get(agent) if agent is not None and self.run is not None else None

    def path_of(self, agent: AgentId | None) -> str:
        """The agent's path; empty while the snapshot does not know the agent yet."""
        known = self.find(agent)
        return known.path if known is not None else ""

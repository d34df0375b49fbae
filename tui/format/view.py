"""The state that panes share: the snapshot in view and counts over it, the selection, and the marked agents."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tui.bridge import (
    Agent,
    AgentId,
    AgentPath,
    AgentState,
    HandoffId,
    Note,
    NoteKind,
    Recalled,
    Retired,
    Role,
    RunId,
    Snapshot,
    Task,
    TaskId,
    TaskState,
    Usage,
)
from tui.format.text import one_line

_WORKING = (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
_ENDED = (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED)


@dataclass(slots=True)
class SubtreeTotals:
    """Totals of a subtree, including its top agent. `usd` leaves out what has no price (`unpriced`)."""

    open: int = 0
    landed: int = 0
    failed: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: bool = False


@dataclass(slots=True)
class RunCounts:
    """Agents by state, and totals of every subtree. Each update counts only what changed since the last snapshot."""

    states: Counter[AgentState] = field(default_factory=Counter)
    totals: dict[AgentId, SubtreeTotals] = field(default_factory=dict)
    _at: tuple[RunId, int] = (RunId(""), -1)
    _agents: dict[AgentId, Agent] = field(default_factory=dict)
    _tasks: dict[TaskId, Task] = field(default_factory=dict)
    _retired: dict[AgentId, Retired] = field(default_factory=dict)

    @property
    def working(self) -> int:
        return sum(self.states[state] for state in _WORKING)

    @property
    def ended(self) -> int:
        return sum(self.states[state] for state in _ENDED)

    @property
    def all(self) -> int:
        return self.states.total()

    def starts_over(self, run: Snapshot) -> bool:
        """Whether a snapshot is of another run, or older than the last one."""
        return run.run != self._at[0] or run.seq < self._at[1]

    def update(self, run: Snapshot) -> None:
        """Count what changed since the last snapshot; all of it if the snapshot starts over."""
        if self.starts_over(run):
            self.states, self.totals, self._agents, self._tasks, self._retired = Counter(), {}, {}, {}, {}
        for id, agent in run.agents.items():
            if (before := self._agents.get(id)) is not agent:
                self._count_agent(run, before, agent)
        for task_id, task in run.tasks.items():
            if (known := self._tasks.get(task_id)) is not task:
                self._count_task(run, known, task)
        if run.retired != self._retired:
            self._count_retired(run)
        # Agents and tasks are frozen and each snapshot has its own dicts, so these can be kept.
        self._at, self._agents, self._tasks, self._retired = (run.run, run.seq), run.agents, run.tasks, run.retired

    def _count_agent(self, run: Snapshot, before: Agent | None, agent: Agent) -> None:
        if before is None:
            self.totals[agent.id] = SubtreeTotals()
        elif before.state is not agent.state:
            self.states[before.state] -= 1
        if before is None or before.state is not agent.state:
            self.states[agent.state] += 1
        was = before.usage if before is not None else Usage()
        if agent.usage is not was:
            self._add_usage(run.agents, agent.id, agent.usage)
            self._add_usage(run.agents, agent.id, was, -1)

    def _count_task(self, run: Snapshot, before: Task | None, task: Task) -> None:
        was, now = (_counted_as(before.state) if before is not None else ""), _counted_as(task.state)
        if was != now:
            self._add_tasks(run.agents, task.planner, was, -1)
            self._add_tasks(run.agents, task.planner, now)

    def _count_retired(self, run: Snapshot) -> None:
        """Count what has left memory at the planner where the snapshot now counts it."""
        before = {**run.agents, **self._agents}
        for id in self._tasks.keys() - run.tasks.keys():
            self._add_tasks(before, self._tasks[id].planner, _counted_as(self._tasks[id].state), -1)
        gone = [self._agents[id] for id in self._agents.keys() - run.agents.keys()]
        for agent in gone:
            self.states[agent.state] -= 1
            self._add_usage(before, agent.id, agent.usage, -1)
        for sign, retired in ((-1, self._retired), (1, run.retired)):
            other = run.retired if retired is self._retired else self._retired
            for planner, counts in retired.items():
                if other.get(planner) is not counts:
                    self.states.update({state: sign * number for state, number in counts.agents.items()})
                    self._add_usage(before, planner, counts.usage, sign)
                    for state, number in counts.all_tasks().items():
                        self._add_tasks(before, planner, _counted_as(state), sign * number)
        for agent in gone:
            del self.totals[agent.id]

    def _add_usage(self, agents: Mapping[AgentId, Agent], below: AgentId, usage: Usage, times: int = 1) -> None:
        for sums in self._above(agents, below):
            sums.tokens += times * (usage.input + usage.output)
            sums.usd += times * (usage.usd or 0.0)
            sums.unpriced |= usage.usd is None

    def _add_tasks(self, agents: Mapping[AgentId, Agent], planner: AgentId, counted_as: str, number: int = 1) -> None:
        for sums in self._above(agents, planner) if counted_as else ():
            setattr(sums, counted_as, getattr(sums, counted_as) + number)

    def _above(self, agents: Mapping[AgentId, Agent], agent: AgentId) -> Iterator[SubtreeTotals]:
        """The totals of an agent and of all planners above it."""
        at: AgentId | None = agent
        while at is not None:
            if (sums := self.totals.get(at)) is not None:
                yield sums
            at = agents[at].parent


_COUNTED_AS = {
    **dict.fromkeys((TaskState.QUEUED, TaskState.HELD, TaskState.WORKING, TaskState.LANDING), "open"),
    TaskState.LANDED: "landed",
    TaskState.FAILED: "failed",
}


def _counted_as(state: TaskState) -> str:
    """The total that a task counts in; empty for a cancelled one, which counts in none."""
    return _COUNTED_AS.get(state, "")


def totals_of(agent: Agent, below: Retired | None) -> SubtreeTotals:
    """The totals of an agent that has left memory."""
    usage = agent.usage + (below.usage if below is not None else Usage())
    counts = Counter({_counted_as(state): number for state, number in below.tasks.items()} if below is not None else ())
    tokens, usd = usage.input + usage.output, usage.usd
    return SubtreeTotals(0, counts["landed"], counts["failed"], tokens, usd or 0.0, usd is None)


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs a person: a note to answer, a handoff to read or an agent to look at. `text` says why."""

    text: str
    handoff: HandoffId | None = None
    agent: AgentId | None = None
    note: Note | None = None


@dataclass(slots=True)
class View:
    """What the panes show. `run` is None until the session has a snapshot."""

    run: Snapshot | None = None
    version: int = -1
    counts: RunCounts = field(default_factory=RunCounts)
    selected: AgentId | None = None
    handoff: HandoffId | None = None
    marked: set[AgentId] = field(default_factory=set)
    frozen: bool = False
    recalled: Recalled = field(default_factory=Recalled)
    """What was read back of agents that have left memory. It is only shown, because `counts` already includes it."""
    _attention: tuple[int, list[Attention]] = (-1, [])

    def take(self, version: int, run: Snapshot) -> None:
        """Show another snapshot. The selection stays; it is cleared if its agent does not exist."""
        if self.counts.starts_over(run):
            self.recalled = Recalled()
        self.counts.update(run)
        self.version, self.run = version, self._with_recalled(run)
        if self.selected not in self.run.agents:
            self.selected = None

    def recall(self, recalled: Recalled) -> None:
        """Also show what was read from the journal."""
        if self.run is not None:
            self.recalled |= recalled.without(self.run)
            self.run = self._with_recalled(self.run)

    def _with_recalled(self, run: Snapshot) -> Snapshot:
        recalled = self.recalled.without(run)
        if not recalled.agents and not recalled.handoffs:
            return run
        run = run.copy()
        for id, agent in recalled.agents.items():
            self.counts.totals[id] = totals_of(agent, recalled.retired.get(id))
        recalled.put_into(run)
        return run

    def ended_below(self, planner: AgentId) -> int:
        """How many agents directly below a planner have left memory and are not recalled."""
        if self.run is None or (retired := self.run.retired.get(planner)) is None:
            return 0
        below = self.run.children.get(planner, ()) if self.recalled.agents else ()
        return sum(retired.children.values()) - sum(id in self.recalled.agents for id in below)

    @property
    def agent(self) -> Agent | None:
        """The selected agent."""
        return None if self.run is None or self.selected is None else self.run.agents.get(self.selected)

    @property
    def targets(self) -> list[AgentPath]:
        """Paths of the marked agents, or of the selected one."""
        if self.run is None:
            return []
        marked = [self.run.agents[id].path for id in self.marked if id in self.run.agents]
        return marked or ([self.agent.path] if self.agent is not None else [])

    def attention(self) -> list[Attention]:
        """Everything that needs a person: questions and assumptions, then handoffs, the newest first."""
        if self._attention[0] != self.version:
            self._attention = self.version, list(self._find_attention())
        return self._attention[1]

    def _find_attention(self) -> Iterator[Attention]:
        run = self.run
        if run is None:
            return
        for note in run.notes_to_person():
            asks = "asks" if note.kind is NoteKind.QUESTION else "assumes"
            yield Attention(f"{run.agents[note.agent].path} {asks}: {one_line(note.text)}", agent=note.agent, note=note)
        for handoff in reversed(run.handoffs.values()):
            if handoff.id in self.recalled.handoffs:
                continue
            if run.needs_person(handoff) and handoff.agent in run.agents:
                path = run.agents[handoff.agent].path
                yield Attention(f"handoff of {path}", handoff=handoff.id, agent=handoff.agent)
        for agent in run.agents.values():
            if agent.role is Role.PLANNER and agent.state is AgentState.FAILED:
                yield Attention(f"{agent.path} failed: {agent.reason}", agent=agent.id)

    def find(self, agent: AgentId | None) -> Agent | None:
        """The agent in the snapshot in view; None if it is not there yet."""
        return self.run.agents.get(agent) if agent is not None and self.run is not None else None

    def path_of(self, agent: AgentId | None) -> str:
        """The agent's path; empty if the snapshot in view does not have the agent yet."""
        known = self.find(agent)
        return known.path if known is not None else ""

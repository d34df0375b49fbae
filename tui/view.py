"""What the screen knows between two paints: the snapshot in view, what is selected, and what a person marked."""

from collections import Counter
from dataclasses import dataclass, field

from tui.bridge import Agent, AgentId, AgentState, Handoff, HandoffId, HandoffStatus, Role, Snapshot

_WORKING = (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)


@dataclass(slots=True)
class Below:
    """Sums over a subtree, the agent itself included. `usd` counts only what has a price."""

    open: int = 0
    landed: int = 0
    failed: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: bool = False


@dataclass(slots=True)
class Census:
    """Counts over all agents, taken once for each snapshot that is shown."""

    states: Counter[AgentState] = field(default_factory=Counter)
    below: dict[AgentId, Below] = field(default_factory=dict)
    ended: int = 0

    @property
    def working(self) -> int:
        return sum(self.states[state] for state in _WORKING)


def take_census(run: Snapshot) -> Census:
    """One pass over agents and tasks; parents come before their children in `run.agents`."""
    census = Census()
    below = census.below
    for id, agent in run.agents.items():
        census.states[agent.state] += 1
        usage = agent.usage
        below[id] = Below(tokens=usage.input + usage.output, usd=usage.usd or 0.0, unpriced=usage.usd is None)
    census.ended = sum(census.states[state] for state in (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED))
    for task in run.tasks.values():
        if (sums := below.get(task.planner)) is not None:
            if not task.ended:
                sums.open += 1
            elif task.state == "landed":
                sums.landed += 1
            else:
                sums.failed += task.state == "failed"
    for id in reversed(run.agents):
        parent = run.agents[id].parent
        if parent is not None and (above := below.get(parent)) is not None:
            mine = below[id]
            above.open += mine.open
            above.landed += mine.landed
            above.failed += mine.failed
            above.tokens += mine.tokens
            above.usd += mine.usd
            above.unpriced |= mine.unpriced
    return census


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
    census: Census = field(default_factory=Census)
    selected: AgentId | None = None
    handoff: HandoffId | None = None
    marked: set[AgentId] = field(default_factory=set)
    resolved: set[HandoffId] = field(default_factory=set)
    frozen: bool = False

    def take(self, version: int, run: Snapshot) -> None:
        """Show another snapshot; the selection stays where it was, the tree makes the first one."""
        self.version, self.run = version, run
        self.census = take_census(run)
        if self.selected not in run.agents:
            self.selected = None

    @property
    def agent(self) -> Agent | None:
        """The selected agent."""
        return None if self.run is None or self.selected is None else self.run.agents.get(self.selected)

    def attention(self) -> list[Attention]:
        """Everything that needs a person, newest handoffs first."""
        run = self.run
        if run is None:
            return []
        wants = [
            Attention(f"handoff of {agent.path}", handoff=handoff.id, agent=agent.id)
            for handoff in reversed(run.handoffs.values())
            if needs_person(handoff)
            and handoff.id not in self.resolved
            and (agent := run.agents.get(handoff.agent)) is not None
        ]
        wants += [
            Attention(f"{agent.path} failed: {agent.reason}", agent=agent.id)
            for agent in run.agents.values()
            if agent.role is Role.PLANNER and agent.state is AgentState.FAILED
        ]
        return wants

    def path_of(self, agent: AgentId | None) -> str:
        """The agent's path, or its id while it is unknown."""
        if agent is None or self.run is None:
            return ""
        known = self.run.agents.get(agent)
        return known.path if known is not None else str(agent)

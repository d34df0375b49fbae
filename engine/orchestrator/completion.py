"""When a run is over: nothing is left to do, or nothing that the budget still lets anybody do."""

from dataclasses import dataclass

from engine.agents.reconciler import Verdict
from engine.domain.errors import ExitStatus
from engine.domain.types import Agent, AgentState, HandoffStatus, Role, RunState
from engine.orchestrator.budget_enforcer import BudgetWatch
from engine.orchestrator.supervisor import Supervisor
from engine.policy.budget import may_start
from engine.state.snapshot import Snapshot

GRACE_S = 300.0
"""Seconds that a run whose budget is used up goes on at most, so that agents at work can hand off."""


@dataclass(frozen=True)
class Outcome:
    """How the run's work in this process ended."""

    state: RunState
    status: ExitStatus
    reason: str


def is_done(snapshot: Snapshot, supervisor: Supervisor) -> bool:
    """Whether the root planner of a running run has ended, nobody works and no planner has anything to read.

    What a worker left unread, nobody will read.
    """
    return (
        snapshot.state is RunState.RUNNING
        and snapshot.root is not None
        and supervisor.idle
        and all(agent.ended and not snapshot.inboxes.get(agent.id) for agent in _planners(snapshot))
    )


def root_failed(snapshot: Snapshot) -> Outcome | None:
    """The outcome of a run that is done without its root planner's handoff; such a run needs no check."""
    root = snapshot.agents[snapshot.root] if snapshot.root else None
    if root is None or root.state is AgentState.DONE:
        return None
    return Outcome(RunState.FAILED, ExitStatus.NOT_GREEN, root.reason or "the root planner failed")


def finished(snapshot: Snapshot, verdict: Verdict) -> Outcome:
    """The outcome of a run that is done, by the root planner's last handoff and the last check of trunk."""
    last = next(h for h in reversed(snapshot.handoffs.values()) if h.agent == snapshot.root)
    done = last.text.status is HandoffStatus.DONE and verdict is not Verdict.RED
    reason = f"the root planner handed off {last.text.status}; trunk is {verdict}"
    return Outcome(RunState.FINISHED, ExitStatus.DONE if done else ExitStatus.NOT_GREEN, reason)


def spent(snapshot: Snapshot, supervisor: Supervisor, budget: BudgetWatch, now: float) -> Outcome | None:
    """The outcome of a run, to be resumed, in which nothing can go on within the budget, or whose grace has passed.

    `now` is of the clock's monotonic seconds; None while the run goes on.
    """
    used_up = budget.used_up()
    if not used_up:
        return None
    late = budget.ran_out_at is not None and now - budget.ran_out_at >= GRACE_S
    if not late and _can_go_on(snapshot, supervisor, budget):
        return None
    part, mark = used_up[0]
    return Outcome(RunState.STOPPED, ExitStatus.BUDGET, f"the budget of {part} is used up: {mark.limit}")


def _can_go_on(snapshot: Snapshot, supervisor: Supervisor, budget: BudgetWatch) -> bool:
    """Whether anybody works, or could: a planner that thinks or has mail, a task that no limit keeps waiting."""
    if supervisor.working or any(may_start(snapshot, snapshot.tasks[id]) for id in supervisor.queued):
        return True
    return any(
        bool(snapshot.inboxes.get(agent.id)) if agent.ended or agent.state is AgentState.WAITING else True
        for agent in _planners(snapshot)
        if agent.state not in (AgentState.FAILED, AgentState.CANCELLED) and not _is_out(agent, budget)
    )


def _is_out(agent: Agent, budget: BudgetWatch) -> bool:
    """Whether a planner has come to rest for want of budget."""
    return agent.state in (AgentState.STARTING, AgentState.PAUSED) and budget.holds(agent.id)


def _planners(snapshot: Snapshot) -> list[Agent]:
    return [agent for agent in snapshot.agents.values() if agent.role is Role.PLANNER]

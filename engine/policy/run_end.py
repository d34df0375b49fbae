"""When a run is over, and with which outcome: nothing is left to do, or the budget lets nobody go on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.domain.errors import ExitStatus
from engine.domain.types import Agent, AgentId, AgentState, HandoffStatus, Role, RunState, TaskId
from engine.policy.budget import GRACE_S, is_held, may_start, used_up
from engine.policy.task_order import waits_for
from engine.state.snapshot import Snapshot


class Verdict(StrEnum):
    """What the last check says of trunk."""

    GREEN = "green"
    RED = "red"  # and no further repair is tried
    REPAIRING = "repairing"  # a fixup is under way, or the planners have just been told
    UNCHECKED = "unchecked"  # no check is configured


@dataclass(frozen=True)
class Outcome:
    """How the run's work in this process ended."""

    state: RunState
    status: ExitStatus
    reason: str


@dataclass(frozen=True)
class Activity:
    """What this process still has to do: the tasks in its queue, and whether an attempt is running."""

    queued: Collection[TaskId]
    working: bool


def is_done(snapshot: Snapshot, activity: Activity) -> bool:
    """Whether a running run has nothing left to do: no task is open, every planner has ended and read its messages.

    Messages to workers that have ended do not count: nobody will read them.
    """
    return (
        snapshot.state is RunState.RUNNING
        and snapshot.root is not None
        and not activity.queued
        and not activity.working
        and all(agent.ended and not snapshot.inboxes.get(agent.id) for agent in _planners(snapshot))
    )


def root_failed(snapshot: Snapshot) -> Outcome | None:
    """The outcome of a done run whose root planner handed nothing off; such a run needs no last check."""
    root = snapshot.agents[snapshot.root] if snapshot.root else None
    if root is None or root.state is AgentState.DONE:
        return None
    return Outcome(RunState.FAILED, ExitStatus.NOT_GREEN, root.reason or "the root planner failed")


def finished(snapshot: Snapshot, verdict: Verdict) -> Outcome:
    """The outcome of a done run, from the root planner's last handoff and the last check of trunk."""
    last = next(h for h in reversed(snapshot.handoffs.values()) if h.agent == snapshot.root)
    done = last.text.status is HandoffStatus.DONE and verdict is not Verdict.RED
    reason = f"the root planner handed off {last.text.status}; trunk is {verdict}"
    return Outcome(RunState.FINISHED, ExitStatus.DONE if done else ExitStatus.NOT_GREEN, reason)


def published(outcome: Outcome, snapshot: Snapshot) -> Outcome:
    """The outcome once the branches should be in the person's repository: a result that is not there is not done."""
    if outcome.state is not RunState.FINISHED or not snapshot.left_alone or snapshot.trunk == snapshot.base:
        return outcome
    status = ExitStatus.NOT_GREEN if outcome.status is ExitStatus.DONE else outcome.status
    return Outcome(outcome.state, status, "; ".join((outcome.reason, *snapshot.left_alone.splitlines())))


def out_of_budget(
    snapshot: Snapshot, activity: Activity, grace: Mapping[AgentId, int], overrun_s: float, most_s: float = GRACE_S
) -> Outcome | None:
    """The outcome of a run that a used-up budget stops, to be resumed; None while somebody may go on.

    `grace`: model calls that each agent may still make once its budget is used up. `overrun_s`: seconds since the
    budget of the whole run was used up, 0 if it is not; at `most_s` the run ends.
    """
    if not (exhausted := used_up(snapshot)):
        return None
    if overrun_s < most_s and _can_go_on(snapshot, activity, grace):
        return None
    part, mark = exhausted[0]
    return Outcome(RunState.STOPPED, ExitStatus.BUDGET, f"the budget of {part} is used up: {mark.limit}")


def _can_go_on(snapshot: Snapshot, activity: Activity, grace: Mapping[AgentId, int]) -> bool:
    """Whether anybody works, or could: a task that no budget holds back, a planner that thinks or has messages."""
    queued = (snapshot.tasks[id] for id in activity.queued)
    if activity.working or any(may_start(snapshot, task) and not waits_for(snapshot, task) for task in queued):
        return True
    return any(
        bool(snapshot.inboxes.get(agent.id)) if agent.ended or agent.state is AgentState.WAITING else True
        for agent in _planners(snapshot)
        if not agent.gone and not _rests(snapshot, agent, grace)
    )


def _rests(snapshot: Snapshot, agent: Agent, grace: Mapping[AgentId, int]) -> bool:
    """Whether a planner has stopped because its budget is used up."""
    return agent.state in (AgentState.STARTING, AgentState.PAUSED) and is_held(snapshot, agent, grace)


def _planners(snapshot: Snapshot) -> list[Agent]:
    return [agent for agent in snapshot.agents.values() if agent.role is Role.PLANNER]

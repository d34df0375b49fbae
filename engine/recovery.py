"""What a new epoch makes of what the one before left (DESIGN: journal and state)."""

from engine import events as e
from engine.agents import landing
from engine.agents.host import Host
from engine.events import Draft
from engine.protocols import LandResult
from engine.types import AgentId, AgentState, LandingState, Micros, Role, Task, TaskState

LOSSES = 10
"""How often a task may be lost with its agent or the program before it counts as the cause and fails."""
BACKOFF_S = 2.0
"""Seconds before a lost or failed task starts again the first time; doubled each time, up to a minute."""


async def recover(host: Host) -> None:
    """Repair landings that were under way, queue lost tasks again, end the agents that died with the program.

    Planners are left as they are: their conversations go on.
    """
    snapshot = host.snapshot
    told = {handoff.task for handoff in snapshot.handoffs.values()}
    for task in list(snapshot.tasks.values()):
        if task.state is TaskState.CANCELLED and task.agent is not None and task.id not in told:
            host.record(*cancelled(host, task))
        if task.state is TaskState.LANDING and await _landed_already(host, task):
            continue
        if task.state in (TaskState.WORKING, TaskState.LANDING):
            host.record(*lost(host, task, "the program was stopped or killed"))
    for agent in list(snapshot.agents.values()):
        if not agent.ended and agent.role is not Role.PLANNER:
            died = e.AgentStateChanged(AgentState.FAILED, reason="the program was stopped or killed")
            host.record(Draft(died, agent.id, agent.task))


async def _landed_already(host: Host, task: Task) -> bool:
    """Deliver the handoff of a task whose commit is on trunk though the journal does not know it yet."""
    pending = host.snapshot.pending_landings.get(task.id)
    if pending is None or (commit := await host.trunk.find_landed(task.id)) is None:
        return False
    result = LandResult(LandingState.MERGED, base=host.snapshot.trunk, commit=commit)
    host.record(*landing.landed(host, task, pending.text, result))
    return True


def lost(host: Host, task: Task, reason: str) -> tuple[Draft, ...]:
    """The task goes back into the queue through no fault of its own, unless that has happened too often."""
    if task.losses + 1 >= LOSSES:
        return landing.failed(host, task, landing.engine_text(f"Lost {LOSSES} times: {reason}"), by_engine=True)
    return (_again(host, task, reason, lost=True, losses=task.losses),)


def failed(host: Host, task: Task, reason: str) -> tuple[Draft, ...]:
    """The attempt failed: another one follows, or, after the last, a handoff that says so."""
    ended = e.AgentStateChanged(AgentState.FAILED, reason=reason)
    at_it = [agent.id for agent in host.snapshot.agents.values() if agent.task == task.id and not agent.ended]
    if task.failures + 1 >= host.settings.task.attempts:
        text = landing.engine_text(f"Not done after {task.failures + 1} attempts: {reason}")
        others = (Draft(ended, id, task.id) for id in at_it if id != task.agent)
        return (*others, *landing.failed(host, task, text, by_engine=True))
    drafts = (Draft(ended, id, task.id) for id in at_it)
    return (*drafts, _again(host, task, reason, lost=False, losses=task.failures))


def cancelled(host: Host, task: Task, agent: AgentId | None = None) -> tuple[Draft, Draft]:
    """The handoff in which a planner hears of a cancelled task; from `agent` where nobody was at it."""
    text = landing.engine_text(f"Cancelled before it was done: {task.reason or 'cancelled'}")
    return landing.delivered(host, task, text, None, None, by_engine=True, agent=agent)


def _again(host: Host, task: Task, reason: str, *, lost: bool, losses: int) -> Draft:
    wait_s = min(60.0, BACKOFF_S * 2**losses) if not lost else 0.0
    not_before: Micros = host.clock.now() + int(wait_s * 1_000_000)
    return Draft(e.TaskRequeued(reason, lost, not_before), task.agent, task.id)

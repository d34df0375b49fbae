"""What a new epoch makes of what the one before left (DESIGN: journal and state)."""

from msgspec.structs import replace

from engine import events as e
from engine.agents import cancelling, landing
from engine.agents.handoffs import engine_text
from engine.agents.host import Host
from engine.events import Draft
from engine.protocols import LandResult
from engine.repo.diff import parse_patch
from engine.types import AgentState, LandingState, Role, Task, TaskState

LOSSES = 10
"""How often a task may be lost with its agent or the program before it counts as the cause and fails."""
BACKOFF_S = 2.0
"""Seconds before a failed task starts again the first time; doubled each time, up to a minute."""


async def recover(host: Host, crashed: bool) -> None:
    """Repair landings that were under way, queue lost tasks again, end the agents that died with the program.

    Only a crash counts as a loss: a run that a person stops and resumes often loses no task by it. Planners are left
    as they are: their conversations go on.
    """
    snapshot = host.snapshot
    told = {handoff.task for handoff in snapshot.handoffs.values()}
    await _finish_landings(host)
    for task in list(snapshot.tasks.values()):
        if task.state is TaskState.CANCELLED and task.agent is not None and task.id not in told:
            host.record(*cancelling.told(host, task))
        if task.state in (TaskState.WORKING, TaskState.LANDING):
            host.record(*lost(host, task, "the program was stopped or killed", counts=crashed))
    for agent in list(snapshot.agents.values()):
        if not agent.ended and agent.role is not Role.PLANNER:
            died = e.AgentStateChanged(AgentState.FAILED, reason="the program was stopped or killed")
            host.record(Draft(died, agent.id, agent.task))


async def _finish_landings(host: Host) -> None:
    """Deliver the handoffs of tasks whose commits are on trunk though the journal does not know it yet, in order."""
    snapshot = host.snapshot
    pending = {
        commit: snapshot.tasks[id]
        for id in snapshot.pending_landings
        if (commit := await host.trunk.find_landed(id)) is not None
    }
    base = snapshot.base  # not the last on record: one that was made on top of another may be there without it
    for commit in await host.trunk.landed_since(base) if pending else ():
        if (task := pending.get(commit)) is not None:
            patch = parse_patch(await host.trunk.diff(base, commit))
            paths = tuple(sorted({path for file in patch.files for path in (file.old_path, file.new_path) if path}))
            result = LandResult(LandingState.MERGED, base=base, commit=commit, paths=paths)
            host.record(*landing.landed(host, task, snapshot.pending_landings[task.id].text, result))
        base = commit


def lost(host: Host, task: Task, reason: str, *, counts: bool = True, wait_s: float = 0.0) -> tuple[Draft, ...]:
    """The task goes back into the queue through no fault of its own, unless that has happened too often."""
    if task.unwanted:
        return _cancelled(host, task)
    if counts and task.losses + 1 >= LOSSES:
        return given_up(host, task, f"Lost {LOSSES} times: {reason}")
    drafts = _agents_ended(host, task, reason)
    not_before = host.clock.now() + int(wait_s * 1_000_000)
    again = e.TaskRequeued(reason, lost=True, not_before=not_before, counts=counts)
    return (*drafts, Draft(again, task.agent, task.id))


def failed(host: Host, task: Task, reason: str) -> tuple[Draft, ...]:
    """The attempt failed: another one follows, or, after the last, a handoff that says so."""
    if task.unwanted:
        return _cancelled(host, task)
    if task.failures + 1 >= host.settings.task.attempts:
        return given_up(host, task, f"Not done after {task.failures + 1} attempts: {reason}")
    drafts = _agents_ended(host, task, reason)
    wait_s = min(60.0, BACKOFF_S * 2**task.failures)
    not_before = host.clock.now() + int(wait_s * 1_000_000)
    return (*drafts, Draft(e.TaskRequeued(reason, lost=False, not_before=not_before), task.agent, task.id))


def given_up(host: Host, task: Task, summary: str) -> tuple[Draft, ...]:
    """The task has failed for good, with a handoff that the engine writes."""
    others = (draft for draft in _agents_ended(host, task, summary) if draft.agent != task.agent)
    return (*others, *landing.failed(host, task, engine_text(summary), by_engine=True))


def _agents_ended(host: Host, task: Task, reason: str) -> list[Draft]:
    at_it = [agent.id for agent in host.snapshot.agents.values() if agent.task == task.id and not agent.ended]
    return [Draft(e.AgentStateChanged(AgentState.FAILED, reason=reason), id, task.id) for id in at_it]


def _cancelled(host: Host, task: Task) -> tuple[Draft, ...]:
    """The end of a task that was taken back while it landed, and did not land."""
    taken_back = e.TaskEnded(TaskState.CANCELLED, task.unwanted, intent=task.cancelled_under)
    drafts = _agents_ended(host, task, task.unwanted)
    return (
        *drafts,
        Draft(taken_back, task.agent, task.id),
        *cancelling.told(host, replace(task, reason=task.unwanted)),
    )

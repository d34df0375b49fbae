"""What a new epoch makes of what the one before left (DESIGN: journal and state)."""

from engine.agents import cancellation, outcomes
from engine.agents.host import Host
from engine.agents.outcomes import attempt_lost
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.patch import parse_patch
from engine.domain.types import AgentState, LandingState, Role, TaskState
from engine.ports.protocols import LandResult


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
            host.record(*cancellation.told(host, task))
        if task.state in (TaskState.WORKING, TaskState.LANDING):
            host.record(*attempt_lost(host, task, "the program was stopped or killed", counts=crashed))
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
            host.record(*outcomes.landed(host, task, snapshot.pending_landings[task.id].text, result))
        base = commit

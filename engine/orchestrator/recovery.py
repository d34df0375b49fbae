"""Recovery: what a new process does with the landings, tasks and agents that the last one left unfinished."""

from engine.agents import cancellation, outcomes
from engine.agents.compaction import MAX_OUTPUT
from engine.agents.conversation_log import Conversation
from engine.agents.landing import found_on_trunk, landed_answer
from engine.agents.new_dependencies import with_dependencies
from engine.agents.outcomes import attempt_continued, attempt_lost
from engine.domain import events as e
from engine.domain.conversation import Request
from engine.domain.events import Draft
from engine.domain.types import AgentState, LandingState, Role, Task, TaskState, ToolCallState
from engine.runtime.host import Host

GONE = "the program was stopped or killed, and the workspace cannot be continued"
OPENING_BYTES = 60_000
"""What a first call is assumed to send: prompt, tools and opening are not in the record before its answer is."""


async def recover(host: Host, crashed: bool) -> None:
    """Finish landings, and continue the attempts whose workspaces are kept. Other tasks go back into the queue.

    Only a crash counts as a loss, so a task does not fail because a person often stops and resumes the run. Planners
    are left as they are: their conversations continue.
    """
    snapshot = host.snapshot
    if crashed:
        await _count_lost_calls(host)
    handed_off = {handoff.task for handoff in snapshot.handoffs.values()}
    await _finish_landings(host)
    resolved = {agent.task for agent in snapshot.agents.values() if agent.role is Role.RESOLVER}
    for task in [each for each in snapshot.tasks.values() if each.id in resolved and each.state is TaskState.LANDED]:
        # Its worker hears of it only after the landing is on record.
        if told := await _last_answers(host, task, f"landed: {LandingState.RESOLVED}"):
            host.record(*told)
    for task in list(snapshot.tasks.values()):
        if task.state is TaskState.CANCELLED and task.agent is not None and task.id not in handed_off:
            host.record(*cancellation.cancelled_handoff(host, task))
        if task.state in (TaskState.WORKING, TaskState.LANDING):
            host.record(*_unfinished(host, task, crashed))
    for agent in list(snapshot.agents.values()):
        at = snapshot.tasks[agent.task].state if agent.task is not None else None
        if not agent.ended and agent.role is not Role.PLANNER and at is not TaskState.WORKING:
            done = at is TaskState.LANDED
            ended = AgentState.DONE if done else AgentState.FAILED
            host.record(Draft(e.AgentStateChanged(ended, reason="" if done else GONE), agent.id, agent.task))
    for id in list(host.workspaces.kept):
        if snapshot.agents[id].ended:
            host.workspaces.drop(id)


def _unfinished(host: Host, task: Task, crashed: bool) -> tuple[Draft, ...]:
    """What becomes of an attempt. Without its workspace it begins again, unless its agent has done nothing yet."""
    agent = host.snapshot.agents[task.agent] if task.agent is not None else None
    if agent is not None and (not agent.steps or agent.id in host.workspaces.kept):
        return attempt_continued(host, task, crashed=crashed)
    return attempt_lost(host, task, GONE, counts=crashed)


async def _count_lost_calls(host: Host) -> None:
    """Count the model calls that were under way when the program died, at their worst case, towards the budgets.

    Nobody knows what the provider charges for them. An agent that was thinking may have had one.
    """
    for agent in list(host.snapshot.agents.values()):
        if agent.state is not AgentState.THINKING:
            continue
        conversation = Conversation()
        for event in await host.journal.agent_events(agent.id):
            conversation.apply(event)
        if conversation.unanswered:  # the answer to its last call arrived, and it was about to act on it
            continue
        said = "\n\n".join(message.text for message in host.snapshot.inboxes.get(agent.id, ()))
        counted = conversation.counted(agent.model)
        unseen = "" if counted else " " * OPENING_BYTES
        asked = conversation.asking(said or agent.goal or " ")
        request = Request(agent.model, unseen, asked, (), MAX_OUTPUT, str(agent.id), counted)
        lost = e.ModelCallRetried(
            agent.model, "under way when the program died", 0.0, host.models.most(agent.model, request), lost=True
        )
        host.record(Draft(lost, agent.id, agent.task))


async def _finish_landings(host: Host) -> None:
    """Deliver, in trunk's order, the handoffs of tasks whose commits are on trunk but not in the journal."""
    snapshot = host.snapshot
    landed = await host.trunk.find_landed(*snapshot.pending_landings)
    pending = {commit: snapshot.tasks[id] for id, commit in landed.items()}
    base = snapshot.base  # not the last recorded one: of two commits, the later may be recorded without the earlier
    for commit in await host.trunk.landed_since(base) if pending else ():
        if (task := pending.get(commit)) is not None:
            result = await with_dependencies(host, await found_on_trunk(host, base, commit))
            state = LandingState.RESOLVED if task.conflicts else result.state
            told = await _last_answers(host, task, landed_answer(result, state))
            host.record(*told, *outcomes.landed(host, task, result))
        base = commit


async def _last_answers(host: Host, task: Task, text: str) -> list[Draft]:
    """The answers to the calls with which agents handed a task's change off, if the record of them was lost."""
    found = []
    agents = [each for each in host.snapshot.agents.values() if each.task == task.id and each.attempt == task.attempt]
    for agent in agents:
        conversation = Conversation()
        for event in await host.journal.agent_events(agent.id):
            conversation.apply(event)
        for call in conversation.unanswered:
            if call.tool == "submit_handoff":
                answer = e.ToolFinished(call.id, call.tool, ToolCallState.OK, text)
                found.append(Draft(answer, agent.id, task.id))
    return found

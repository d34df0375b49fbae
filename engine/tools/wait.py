"""wait: a planner sleeps until its next message and makes no model calls meanwhile."""

from msgspec import Struct

from engine.domain.events import AgentStateChanged, Draft
from engine.domain.types import AgentState, Pathology
from engine.policy.pathologies import found
from engine.policy.task_order import DECIDE, held_tasks
from engine.tools.tool import Answer, Tool, ToolContext, faulted


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    pass


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent.id, context.snapshot
    work = snapshot.open_tasks(me) or snapshot.open_subplanners(me)
    if not (work or snapshot.inboxes.get(me) or snapshot.awaits_answer(me)):
        finding = found(snapshot, me, Pathology.SLEEPS, "waits with nothing outstanding")
        return faulted(finding, "nothing is outstanding, so no message will come: spawn what is missing, or hand off")
    held = held_tasks(snapshot, me)
    others = snapshot.open_subplanners(me) or len(snapshot.open_tasks(me)) > len(held)
    if held and not (others or snapshot.inboxes.get(me) or snapshot.awaits_answer(me)):
        finding = found(snapshot, me, Pathology.SLEEPS, "waits with only held tasks outstanding")
        named = ", ".join(f"{task.id} {task.spec.title}" for task in held)
        return faulted(finding, f"no message will come, as all open tasks are held ({named}): {DECIDE}")
    asleep = Draft(AgentStateChanged(AgentState.WAITING, "for a message" if work else "for an answer"), me)
    return Answer("woken", drafts=(*context.left_open(), asleep), sleeps=True)


TOOL = Tool("wait", Arguments, call, last=True)

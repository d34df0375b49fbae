"""wait: a planner sleeps until its next message and makes no model calls meanwhile."""

from msgspec import Struct

from engine.domain.events import AgentStateChanged, Draft
from engine.domain.types import AgentState, Pathology
from engine.policy.pathologies import found
from engine.tools.tool import Answer, Tool, ToolContext, faulted


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    pass


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent.id, context.snapshot
    work = snapshot.open_tasks(me) or snapshot.open_subplanners(me)
    if not (work or snapshot.inboxes.get(me) or snapshot.awaits_answer(me)):
        finding = found(snapshot, me, Pathology.SLEEPS, "waits with nothing outstanding")
        return faulted(finding, "nothing is outstanding, so no message will come: spawn what is missing, or hand off")
    asleep = Draft(AgentStateChanged(AgentState.WAITING, "for a message" if work else "for an answer"), me)
    return Answer("woken", drafts=(*context.left_open(), asleep), sleeps=True)


TOOL = Tool("wait", Arguments, call, last=True)

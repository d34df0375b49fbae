"""submit_handoff: the one message with which an agent ends its work."""

from msgspec import Struct

from engine.tools.tool import Answer, Desk, Tool, refused
from engine.types import HandoffStatus, HandoffText


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    status: HandoffStatus
    summary: str
    notes: str = ""
    concerns: str = ""
    deviations: str = ""
    findings: str = ""
    feedback: str = ""


async def call(desk: Desk, arguments: Arguments) -> Answer:
    if not arguments.summary.strip():
        return refused("the summary is empty")
    return await desk.hand_off(
        HandoffText(
            arguments.status,
            arguments.summary,
            arguments.notes,
            arguments.concerns,
            arguments.deviations,
            arguments.findings,
            arguments.feedback,
        )
    )


TOOL = Tool("submit_handoff", Arguments, call, writes=True, atomic=True, target=lambda a: a.status.value)

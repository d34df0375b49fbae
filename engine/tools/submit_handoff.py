"""submit_handoff: the one report that ends an agent's work."""

import msgspec
from msgspec import Struct

from engine.domain.types import HandoffStatus, HandoffText
from engine.tools.tool import Answer, Tool, ToolContext, refused

MOST = 8_000
"""Characters in one section: a planner reads many handoffs."""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    status: HandoffStatus
    summary: str
    notes: str = ""
    concerns: str = ""
    deviations: str = ""
    findings: str = ""
    feedback: str = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not arguments.summary.strip():
        return refused("the summary is empty")
    sizes = {name: len(text) for name, text in msgspec.structs.asdict(arguments).items()}
    if too_long := [name for name, size in sizes.items() if size > MOST]:
        return refused(f"too long: {', '.join(too_long)}; at most {MOST} characters each: keep what matters")
    return await context.hand_off(
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

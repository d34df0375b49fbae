"""submit_handoff: the one report that ends an agent's work."""

import msgspec

from engine.domain.types import HandoffText
from engine.tools.tool import Answer, Tool, ToolContext, refused

MOST = 8_000
"""Characters in one section: a planner reads many handoffs."""


class Arguments(HandoffText, frozen=True, forbid_unknown_fields=True):
    pass


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not arguments.summary.strip():
        return refused("the summary is empty")
    texts = msgspec.structs.asdict(arguments)
    if too_long := [name for name, text in texts.items() if len(text) > MOST]:
        return refused(f"too long: {', '.join(too_long)}; at most {MOST} characters each: keep what matters")
    return await context.hand_off(HandoffText(**texts))


TOOL = Tool("submit_handoff", Arguments, call, writes=True, atomic=True, target=lambda a: a.status.value)

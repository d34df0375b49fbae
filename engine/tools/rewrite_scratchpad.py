"""rewrite_scratchpad: replace all of the agent's notes."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Instruction, Reason
from engine.domain.events import Draft, Pivoted, ScratchpadRewritten
from engine.tools.tool import Answer, Tool, ToolContext, refused

LIMIT = 16_000
"""Characters in a scratchpad, which is never cut from the context."""

REASON = 1_000
"""Characters kept of the reason for a pivot."""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[
        Instruction, Meta(description="All of it, at most 16,000 characters: what is true now and what comes next.")
    ]
    pivot: Annotated[
        Reason, Meta(description="If you change course: why, in one or two sentences; recorded for the user.")
    ] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if len(arguments.text) > LIMIT:
        return refused(f"too long: {len(arguments.text)} characters, at most {LIMIT}; keep what still matters")
    agent = context.agent.id
    known = context.snapshot.scratchpads.get(agent)
    version = known.version + 1 if known else 1
    drafts = [Draft(ScratchpadRewritten(version, arguments.text), agent)]
    if reason := arguments.pivot.strip():
        drafts.append(Draft(Pivoted(reason[:REASON], version), agent))
    return Answer("saved", drafts=tuple(drafts))


TOOL = Tool("rewrite_scratchpad", Arguments, call, writes=True, atomic=True)

"""submit_handoff: the one report that ends an agent's work."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.handoff_facts import Finding
from engine.domain.types import HandoffStatus, HandoffText
from engine.tools.tool import Answer, Tool, ToolContext, refused

MOST = 8_000
"""Characters in one section: a planner reads many handoffs."""


class Evidence(StrEnum):
    SEEN = "seen"
    INFERRED = "inferred"
    UNSAID = "not said"


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(description="One fact.")]
    evidence: Annotated[
        Evidence, Meta(description="seen: you read it or watched it happen. inferred: you concluded it.")
    ] = Evidence.UNSAID
    share: Annotated[bool, Meta(description="Whether it saves time in most other work on this project.")] = False


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    """Each fact belongs in one section, as the descriptions tell agents."""

    status: Annotated[
        HandoffStatus,
        Meta(
            description="done: it is all done. partial: what there is is sound and worth keeping. failed: keep nothing."
        ),
    ]
    summary: Annotated[str, Meta(description="What is true now that was not before.")]
    notes: Annotated[str, Meta(description="How it works: what one must know to use or change it.")] = ""
    concerns: Annotated[str, Meta(description="What may be wrong with your work, or was not tried.")] = ""
    deviations: Annotated[str, Meta(description="Where you departed from what was asked, and why.")] = ""
    findings: Annotated[
        tuple[Found, ...], Meta(description="What you learned about the rest of the project or the machine.")
    ] = ()
    feedback: Annotated[str, Meta(description="What would have made this work easier: task, tools, machine.")] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not arguments.summary.strip():
        return refused("the summary is empty")
    text = HandoffText(
        arguments.status,
        arguments.summary,
        arguments.notes,
        arguments.concerns,
        arguments.deviations,
        tuple(_finding(found) for found in arguments.findings if found.text.strip()) or "",
        arguments.feedback,
    )
    sections = {"summary": text.summary, **text.sections}
    if too_long := [name for name, section in sections.items() if len(section) > MOST]:
        return refused(f"too long: {', '.join(too_long)}; at most {MOST} characters each: keep what matters")
    return await context.hand_off(text)


def _finding(found: Found) -> Finding:
    seen = None if found.evidence is Evidence.UNSAID else found.evidence is Evidence.SEEN
    return Finding(found.text.strip(), seen, found.share)


TOOL = Tool("submit_handoff", Arguments, call, writes=True, atomic=True, target=lambda a: a.status.value)

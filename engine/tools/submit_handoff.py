"""submit_handoff: the one report that ends an agent's work."""

from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, MsgspecError, Struct, UnsetType, json, structs

from engine.domain.handoff_facts import Finding
from engine.domain.types import HandoffStatus, HandoffText
from engine.tools.tool import Answer, Tool, ToolContext, refused

MOST = 8_000
"""Characters in one section: a planner reads many handoffs."""
KEPT = "(Your report is kept: next time give `status` and only the sections that change; an empty one is removed.)"


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


def _section(description: str, default: object = "") -> Meta:
    """A section that may be left out: it is as `default` then, or as it was in a report that was sent back."""
    return Meta(description=description, extra_json_schema={"default": default})


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    """Each fact belongs in one section, as the descriptions tell agents."""

    status: Annotated[
        Literal["done", "partial", "failed"],  # `cancelled` is the engine's word
        Meta(
            description="done: it is all done. partial: what there is is sound and worth keeping. failed: keep nothing."
        ),
    ]
    summary: Annotated[str | UnsetType, _section("What is true now that was not before.")] = UNSET
    notes: Annotated[str | UnsetType, _section("How it works: what one must know to use or change it.")] = UNSET
    concerns: Annotated[str | UnsetType, _section("What may be wrong with your work, or was not tried.")] = UNSET
    deviations: Annotated[
        str | UnsetType, _section("Where you departed from what was asked, or it was wrong, and why.")
    ] = UNSET
    findings: Annotated[
        tuple[Found, ...] | UnsetType, _section("What you learned about the rest of the project or the machine.", [])
    ] = UNSET
    feedback: Annotated[str | UnsetType, _section("What would have made this work easier: task, tools, machine.")] = (
        UNSET
    )


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    answer = await _handed_off(context, _with_former(context, arguments))
    return structs.replace(answer, text=f"{answer.text}\n\n{KEPT}") if answer.error and not answer.ends else answer


def _with_former(context: ToolContext, arguments: Arguments) -> Arguments:
    """What is reported now, and for sections that are left out, what was reported when it was sent back."""
    given: dict[str, Any] = {}
    for report in context.sent_back:
        with suppress(MsgspecError):  # an older version of the program has made the call
            given |= _given(json.decode(report, type=Arguments))
    return Arguments(**(given | _given(arguments)))


def _given(arguments: Arguments) -> dict[str, Any]:
    return {name: value for name, value in structs.asdict(arguments).items() if value is not UNSET}


async def _handed_off(context: ToolContext, arguments: Arguments) -> Answer:
    summary, notes, concerns, deviations, feedback = (
        text or ""
        for text in (
            arguments.summary,
            arguments.notes,
            arguments.concerns,
            arguments.deviations,
            arguments.feedback,
        )
    )
    if not summary.strip():
        return refused("the summary is empty")
    findings = tuple(_finding(found) for found in arguments.findings or () if found.text.strip())
    text = HandoffText(HandoffStatus(arguments.status), summary, notes, concerns, deviations, findings or "", feedback)
    sections = {"summary": text.summary, **text.sections}
    if too_long := [name for name, section in sections.items() if len(section) > MOST]:
        return refused(f"too long: {', '.join(too_long)}; at most {MOST} characters each: keep what matters")
    return await context.hand_off(text)


def _finding(found: Found) -> Finding:
    seen = None if found.evidence is Evidence.UNSAID else found.evidence is Evidence.SEEN
    return Finding(found.text.strip(), seen, found.share)


TOOL = Tool("submit_handoff", Arguments, call, writes=True, atomic=True, target=lambda a: a.status)

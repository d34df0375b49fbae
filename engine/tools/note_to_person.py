"""note_to_person: a planner says what it assumes, or asks the person, and does not have to wait."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Instruction, Name
from engine.domain.events import Draft, NoteMade
from engine.domain.notes import Note, NoteKind
from engine.policy.notes import before_planning, objection
from engine.tools.tool import Answer, Tool, ToolContext, refused

AWAITED = "asked. The answer reaches you as a message: go on with what does not depend on it, or `wait`"
NOBODY = (
    "noted, but nobody is there to answer now: decide as the user most likely would, note that as an `assumption`, and "
    "go on"
)


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Annotated[NoteKind, Meta(description="A question only if its answer changes what you do.")]
    text: Annotated[Instruction, Meta(description="At most 1,000 characters.")]
    options: Annotated[tuple[Name, ...], Meta(description="At most 6 answers to choose from; empty: any answer.")] = ()


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot, kind = context.agent, context.snapshot, arguments.kind
    if why := objection(snapshot, me, kind, arguments.text, arguments.options):
        return refused(why)
    question = kind is NoteKind.QUESTION
    note = Note(
        number=snapshot.note_count + 1,
        at=context.clock.now(),
        agent=me.id,
        kind=kind,
        text=arguments.text.strip(),
        options=arguments.options,
        intent=me.intent if question and before_planning(snapshot, me) else 0,
        awaited=question and context.answers_awaited,
    )
    text = "noted" if not question else AWAITED if note.awaited else NOBODY
    return Answer(text, drafts=(Draft(NoteMade(note), me.id),))


TOOL = Tool("note_to_person", Arguments, call, writes=True, atomic=True, target=lambda a: a.text[:60])

"""ask_planner: a subplanner asks the planner above it, and does not have to wait."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Instruction, Name
from engine.domain.notes import Note, NoteKind
from engine.policy.notes import objection
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[Instruction, Meta(description="At most 1,000 characters.")]
    options: Annotated[tuple[Name, ...], Meta(description="At most 6 answers to choose from; empty: any answer.")] = ()


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    me, snapshot = context.agent, context.snapshot
    if me.parent is None:
        return refused("there is no planner above you: ask the user with `note_to_person`")
    if why := objection(snapshot, me, NoteKind.QUESTION, arguments.text, arguments.options, to_planner=True):
        return refused(why)
    note = Note(
        number=snapshot.note_count + 1,
        at=context.clock.now(),
        agent=me.id,
        kind=NoteKind.QUESTION,
        text=arguments.text.strip(),
        options=arguments.options,
        to_agent=me.parent,
        awaited=True,
    )
    return Answer("asked: go on with what does not depend on the answer, or `wait`", drafts=context.asks(note))


TOOL = Tool("ask_planner", Arguments, call, writes=True, atomic=True, target=lambda a: a.text[:60])

"""Folds the events of notes and their answers."""

from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.notes import NoteKind
from engine.domain.types import AgentId, InboxMessage, Micros
from engine.state.fold.table import folds
from engine.state.snapshot import Snapshot


@folds(e.NoteMade)
def _(s: Snapshot, event: e.Event, body: e.NoteMade) -> None:
    s.notes[body.note.number] = body.note
    s.note_count = body.note.number
    if body.note.to_agent is None:
        s.note_counts[body.note.kind] += 1


@folds(e.NoteAnswered)
def _(s: Snapshot, event: e.Event, body: e.NoteAnswered) -> None:
    note = s.notes[body.note]
    if body.taken_back:
        awaited = note.awaited and not note.delivered
        s.notes[body.note] = replace(note, answer=None, answered_at=None, by="", awaited=awaited, delivered=False)
    else:
        s.notes[body.note] = replace(note, answer=body.answer, answered_at=event.at, by=body.by)


@folds(e.AnswersOverdue)
def _(s: Snapshot, event: e.Event, body: e.AnswersOverdue) -> None:
    for number in body.notes:
        s.notes[number] = replace(s.notes[number], awaited=False)


def deliver(s: Snapshot, message: InboxMessage) -> None:
    """Mark the answers in a message as sent."""
    for number in message.notes:
        note = s.notes[number]
        s.notes[number] = replace(note, delivered=not note.open)


def withdraw(s: Snapshot, agent: AgentId, at: Micros, *, to_person: bool = False) -> None:
    """Close the questions of an agent that has ended; those to the person only if it can no longer act on an answer."""
    for number, note in s.notes.items():
        if note.agent == agent and note.open and note.kind is NoteKind.QUESTION and (to_person or note.to_agent):
            s.notes[number] = replace(note, answer="", answered_at=at, awaited=False, delivered=True)
